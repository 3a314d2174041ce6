//go:build js && wasm

// Package promise waits for JavaScript's promises.
package promise

import (
	"errors"
	"syscall/js"
)

// Await waits for a promise and returns its value, or an error with the message
// that it was rejected with. It must not be called from a JavaScript callback.
func Await(p js.Value) (js.Value, error) {
	type outcome struct {
		value js.Value
		err   error
	}
	settled := make(chan outcome, 1)
	then := js.FuncOf(func(_ js.Value, args []js.Value) any {
		settled <- outcome{value: args[0]}
		return nil
	})
	defer then.Release()
	catch := js.FuncOf(func(_ js.Value, args []js.Value) any {
		settled <- outcome{err: rejected(args)}
		return nil
	})
	defer catch.Release()
	p.Call("then", then, catch)
	out := <-settled
	return out.value, out.err
}

func rejected(args []js.Value) error {
	if len(args) > 0 && args[0].Type() == js.TypeObject {
		return errors.New(args[0].Get("message").String())
	}
	return errors.New("rejected")
}
