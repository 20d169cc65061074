INSTALL = ['flask']
