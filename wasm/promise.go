//go:build js && wasm

package main

import (
	"errors"
	"fmt"
	"syscall/js"

	"lamplighter/internal/commission"
)

// promised runs a call in a goroutine of its own and returns a Promise of its
// result. A panic there rejects, too.
func promised(run func() (string, error)) js.Value {
	executor := js.FuncOf(func(_ js.Value, args []js.Value) any {
		resolve, reject := args[0], args[1]
		go func() {
			defer func() {
				if r := recover(); r != nil {
					reject.Invoke(jsError(fmt.Errorf("the engine failed: %v", r)))
				}
			}()
			if result, err := run(); err != nil {
				reject.Invoke(jsError(err))
			} else {
				resolve.Invoke(result)
			}
		}()
		return nil
	})
	defer executor.Release() // the constructor has called it
	return js.Global().Get("Promise").New(executor)
}

// jsError is an Error with the fields of a Problem.
func jsError(err error) js.Value {
	var known *commission.Error
	if !errors.As(err, &known) {
		known = &commission.Error{Problem: commission.Problem{ID: "internal", Text: err.Error()}}
	}
	v := js.Global().Get("Error").New(known.Text)
	v.Set("code", known.ID)
	v.Set("next", known.Next)
	v.Set("retry", known.Retry)
	return v
}
