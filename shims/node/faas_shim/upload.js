// @ts-check
// A request's body that is still arriving.
"use strict";

const { WINDOW_LEN, packCredit } = require("./protocol.js");

/** Reads a body as fast as the handler takes it: the server sends what it was asked for, and no more waits here. */
class Upload {
  /**
   * @param {import("./protocol.js").Channel} channel
   * @param {number} stream
   */
  constructor(channel, stream) {
    this.channel = channel;
    this.stream = stream;
    /** Bytes that were asked for and have not come. */
    this.coming = 0;
    this.ended = false;
    /** @type {(() => void) | null} */
    this.wake = null;
    /** @type {ReadableStreamDefaultController<Uint8Array> | null} */
    this.controller = null;
    /** @type {ReadableStream<Uint8Array>} */
    this.readable = new ReadableStream(
      {
        start: (controller) => {
          this.controller = controller;
        },
        pull: () => this.#pull(),
        cancel: () => this.#end(),
      },
      { highWaterMark: 0 },
    );
  }

  /** @returns {Promise<void>} resolved when there is more */
  #pull() {
    if (this.coming < WINDOW_LEN / 2) {
      const wanted = WINDOW_LEN - this.coming;
      this.coming += wanted;
      this.channel.send(packCredit(this.stream, wanted));
    }
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }

  /**
   * @param {Buffer} payload a view that is only good until this returns
   * @param {boolean} end
   */
  feed(payload, end) {
    if (this.ended) return;
    this.coming -= payload.length;
    if (payload.length > 0) this.controller?.enqueue(new Uint8Array(payload));
    if (end) {
      this.controller?.close();
      this.#end();
    } else if (payload.length > 0) this.#woken();
  }

  /** Nobody sends the rest any more. */
  abort() {
    if (this.ended) return;
    this.controller?.error(new DOMException("the caller went away", "AbortError"));
    this.#end();
  }

  #end() {
    this.ended = true;
    this.#woken();
  }

  #woken() {
    const wake = this.wake;
    this.wake = null;
    wake?.();
  }
}

module.exports = { Upload };
