def handel(event):
    return event
