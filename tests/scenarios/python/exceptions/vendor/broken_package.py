def run():
    raise OSError("vendored code failed")
