import codecs
import io
import sys


def handler(event):
    out = sys.stdout
    if event == "wrapper":
        io.TextIOWrapper(out.buffer, encoding="utf-8", write_through=True).write("grüße\n")
        codecs.getwriter("utf-8")(out.buffer).write("by a writer\n")
        out.buffer.writelines([b"la", b"st\n"])
    elif event == "interface":
        raw = isinstance(out.buffer, io.BufferedIOBase)
        text = isinstance(out, io.TextIOBase)
        flags = [out.buffer.readable(), out.buffer.closed, out.buffer.mode, out.buffer.writable(), out.encoding]
        return [raw, text, *flags, out.fileno(), sys.stderr.buffer.fileno()]
    elif event == "split":
        out.buffer.write(b"\xc3")
        out.buffer.write(b"\xa9\na\xe2")
        out.buffer.write(b"\x82")
        out.buffer.write(b"\xacb\n\xe2\x82")
        print("x")
        out.buffer.write(b"lone \xc3")
    elif event == "wrong":
        found = []
        for write, value in ((out.buffer.write, "text"), (out.write, b"bytes")):
            try:
                write(value)
            except Exception as error:
                found.append(type(error).__name__)
        return found
    elif event == "detached":
        wrapper = io.TextIOWrapper(out.detach(), encoding="utf-8")
        wrapper.write("through detach\n")
        del wrapper
        print("still here")
    elif event == "replaced":
        sys.stdout = io.TextIOWrapper(out.buffer, encoding="utf-8")
        print("held by the wrapper")
    elif event == "original":
        sys.stdout = out
        print("to the first stream", file=sys.__stdout__)
    return "ok"
