class handler:
    def __call__(self, event):
        return event
