import tkinter

handler = tkinter.Tk
