import settings

handler = settings.VALUE
