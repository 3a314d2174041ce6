//go:build js && wasm

// The backup program for the page's worker, loaded when a backup is made or
// read. It sets
//
//	globalThis.__lamplighterAge = {
//	  encrypt(plaintext: Uint8Array, passphrase: string): Promise<string>,  // an armored age file
//	  decrypt(armored: string, passphrase: string): Promise<Uint8Array>,
//	}
//
// and calls globalThis.__lamplighterAgeReady() if that is a function.
package main

import (
	"context"
	"errors"
	"syscall/js"

	"lamplighter/internal/backup"
)

func main() {
	encrypt := js.FuncOf(func(_ js.Value, args []js.Value) any {
		return promise(args, js.TypeObject, func() (any, error) {
			plaintext := make([]byte, args[0].Length())
			js.CopyBytesToGo(plaintext, args[0])
			return backup.Age{}.Seal(context.Background(), plaintext, args[1].String())
		})
	})
	decrypt := js.FuncOf(func(_ js.Value, args []js.Value) any {
		return promise(args, js.TypeString, func() (any, error) {
			plaintext, err := backup.Age{}.Open(context.Background(), args[0].String(), args[1].String())
			if err != nil {
				return nil, err
			}
			data := js.Global().Get("Uint8Array").New(len(plaintext))
			js.CopyBytesToJS(data, plaintext)
			return data, nil
		})
	})
	// Both live as long as the program.
	js.Global().Set("__lamplighterAge", map[string]any{"encrypt": encrypt, "decrypt": decrypt})
	if ready := js.Global().Get("__lamplighterAgeReady"); ready.Type() == js.TypeFunction {
		ready.Invoke()
	}
	select {}
}

var errArguments = errors.New("two arguments are needed: the data and the passphrase")

// promise runs a call in a goroutine of its own and returns a Promise of its
// result.
func promise(args []js.Value, data js.Type, run func() (any, error)) js.Value {
	good := len(args) == 2 && args[0].Type() == data && args[1].Type() == js.TypeString
	executor := js.FuncOf(func(_ js.Value, settle []js.Value) any {
		resolve, reject := settle[0], settle[1]
		go func() {
			result, err := any(nil), errArguments
			if good {
				result, err = run()
			}
			if err == nil {
				resolve.Invoke(result)
				return
			}
			v := js.Global().Get("Error").New(err.Error())
			if errors.Is(err, backup.ErrOpen) {
				v.Set("code", "wrong-passphrase")
			}
			reject.Invoke(v)
		}()
		return nil
	})
	defer executor.Release() // the constructor has called it
	return js.Global().Get("Promise").New(executor)
}
