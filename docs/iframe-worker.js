"use strict";
// The search of these pages runs in a worker, and browsers start none for pages of a folder. There
// the same program runs in a hidden frame, which stands where a worker would.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      const put = () => document.body.append(frame);
      this.inside = new Promise((ready, failed) => {
        frame.addEventListener("load", () => {
          const inside = frame.contentWindow;
          const load = (script) => new Promise((done, broken) => {
            const node = inside.document.createElement("script");
            node.addEventListener("load", () => done());
            node.addEventListener("error", () => broken(new Error(`${script} cannot be read`)));
            node.src = String(script);
            inside.document.head.append(node);
          });
          inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
          inside.importScripts = async (...scripts) => {
            for (const script of scripts) await load(script);
          };
          load(address).then(() => ready(inside), failed);
        }, { once: true });
        frame.srcdoc = "<!doctype html><title>search</title>";
        if (document.body) put();
        else document.addEventListener("DOMContentLoaded", put, { once: true });
      });
    }

    postMessage(data) {
      this.inside.then((inside) => inside.dispatchEvent(new inside.MessageEvent("message", { data })));
    }
  };
}
