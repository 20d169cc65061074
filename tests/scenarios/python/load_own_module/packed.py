from helpers.words import f

handler = f
