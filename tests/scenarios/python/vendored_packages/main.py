import deep.inside
import flat


def handler(event):
    return [flat.NAME, deep.inside.NAME]
