def fail():
    raise ValueError("helped to fail")


def vendored():
    import broken_package

    broken_package.run()
