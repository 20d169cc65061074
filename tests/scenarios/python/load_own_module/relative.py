from .removed import handler

handler = handler
