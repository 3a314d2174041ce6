//go:build js && wasm

package indexeddb

import "syscall/js"

// fakeIndexedDB is as much of IndexedDB as this package uses, for Node: it keeps
// structured clones of what a completed transaction wrote and nothing else. In a
// browser the tests run on the real one.
const fakeIndexedDB = `
globalThis.fakeFaults = { next: null };
globalThis.indexedDB ??= (() => {
  const databases = new Map();
  const later = (f) => setTimeout(f, 0);
  const keep = (v) => v instanceof CryptoKey ? v : structuredClone(v);
  class Transaction {
    constructor(rows, mode) {
      this.work = new Map([...rows].map(([name, m]) => [name, new Map(m)]));
      this.rows = rows; this.mode = mode; this.error = null;
      later(() => this.finish());
    }
    objectStore(name) {
      const m = this.work.get(name);
      const read = (v) => {
        const req = { result: v() };
        queueMicrotask(() => req.onsuccess?.());
        return req;
      };
      const write = (f) => {
        if (this.done) throw new DOMException("ended", "TransactionInactiveError");
        if (this.mode !== "readwrite") throw new DOMException("read only", "ReadOnlyError");
        f(); return {};
      };
      return {
        put: (v, k) => write(() => m.set(k, keep(v))),
        delete: (k) => write(() => m.delete(k)),
        get: (k) => read(() => m.get(k)),
        getAllKeys: () => ({ result: [...m.keys()].sort() }),
        getAll: () => ({ result: [...m.keys()].sort().map((k) => m.get(k)) }),
      };
    }
    abort() {
      this.done = this.aborted = true;
      later(() => this.onabort?.());
    }
    finish() {
      if (this.aborted) return;
      this.done = true;
      if (this.mode === "readwrite" && fakeFaults.next) {
        this.error = new DOMException("no room", fakeFaults.next);
        fakeFaults.next = null;
        this.onerror?.(); this.onabort?.();
        return;
      }
      if (this.mode === "readwrite") for (const [n, m] of this.work) this.rows.set(n, m);
      this.oncomplete?.();
    }
  }
  return {
    open(name) {
      const req = { error: null };
      later(() => {
        const fresh = !databases.has(name);
        if (fresh) databases.set(name, new Map());
        const rows = databases.get(name);
        let closed = false;
        req.result = {
          createObjectStore: (n) => rows.set(n, new Map()),
          transaction(n, mode) {
            if (closed) throw new DOMException("closing", "InvalidStateError");
            return new Transaction(rows, mode);
          },
          close: () => { closed = true; },
        };
        if (fresh) req.onupgradeneeded?.();
        req.onsuccess?.();
      });
      return req;
    },
    dump: (name, rows) => [...databases.get(name).get(rows)],
  };
})();
`

func init() { js.Global().Call("eval", fakeIndexedDB) }

// failNext lets the next write fail; false: this is no fake.
func failNext() bool {
	if js.Global().Get("indexedDB").Get("dump").IsUndefined() {
		return false
	}
	js.Global().Get("fakeFaults").Set("next", "QuotaExceededError")
	return true
}
