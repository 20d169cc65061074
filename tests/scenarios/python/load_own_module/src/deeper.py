import lib.tools

handler = lib.tools.f
