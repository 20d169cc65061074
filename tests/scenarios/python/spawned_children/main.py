import multiprocessing


def double(number):
    return number * 2


def handler(event):
    with multiprocessing.get_context(event).Pool(2) as pool:
        return pool.map(double, [1, 2])
