from .other import VALUE


class Router:
    @staticmethod
    def handler(event):
        return VALUE


router = Router()
