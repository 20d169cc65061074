def handler(event):
    total = 1 + * 2
    return total
