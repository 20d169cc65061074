def handler(name):
    return name
