def hanlder():
    return 1
