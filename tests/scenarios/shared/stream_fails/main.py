async def handler(event):
    for number in range(3):
        yield f"{number}\n"
        if event == "fail" and number == 1:
            raise ValueError("mid-stream")
