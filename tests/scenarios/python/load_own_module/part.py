import src.nothing

handler = src.nothing.f
