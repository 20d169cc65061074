from util import f

handler = f
