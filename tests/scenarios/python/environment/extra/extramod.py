NAME = "from extra"
