//go:build js && wasm

package indexeddb

import (
	"errors"
	"fmt"
	"syscall/js"
)

// await waits for a promise.
func await(promise js.Value) (js.Value, error) {
	type outcome struct {
		value js.Value
		err   error
	}
	settled := make(chan outcome, 1)
	then := js.FuncOf(func(_ js.Value, args []js.Value) any {
		settled <- outcome{value: first(args)}
		return nil
	})
	defer then.Release()
	catch := js.FuncOf(func(_ js.Value, args []js.Value) any {
		settled <- outcome{err: asError(first(args))}
		return nil
	})
	defer catch.Release()
	promise.Call("then", then, catch)
	out := <-settled
	return out.value, out.err
}

// settle waits until target, a request or a transaction, fires the event of its
// property ok or one of fails.
func settle(target js.Value, ok string, fails ...string) error {
	settled := make(chan error, 1+len(fails))
	done := js.FuncOf(func(js.Value, []js.Value) any {
		settled <- nil
		return nil
	})
	defer done.Release()
	fail := js.FuncOf(func(js.Value, []js.Value) any {
		settled <- asError(target.Get("error"))
		return nil
	})
	defer fail.Release()
	target.Set(ok, done)
	for _, name := range fails {
		target.Set(name, fail)
	}
	err := <-settled
	for _, name := range append(fails, ok) { // the functions are released now
		target.Set(name, js.Null())
	}
	return err
}

func first(args []js.Value) js.Value {
	if len(args) == 0 {
		return js.Undefined()
	}
	return args[0]
}

// asError keeps a DOMException's name and message: it never holds a value.
func asError(v js.Value) error {
	if v.Type() != js.TypeObject {
		return errors.New("IndexedDB failed")
	}
	return fmt.Errorf("%s: %s", v.Get("name").String(), v.Get("message").String())
}

// recovered turns a thrown exception (the database was closed under us) into an
// error.
func recovered(err *error) {
	switch thrown := recover().(type) {
	case nil:
	case js.Error:
		*err = asError(thrown.Value)
	default:
		panic(thrown)
	}
}

func toJS(b []byte) js.Value {
	a := js.Global().Get("Uint8Array").New(len(b))
	js.CopyBytesToJS(a, b)
	return a
}

// fromJS copies an ArrayBuffer.
func fromJS(buffer js.Value) []byte {
	a := js.Global().Get("Uint8Array").New(buffer)
	b := make([]byte, a.Length())
	js.CopyBytesToGo(b, a)
	return b
}
