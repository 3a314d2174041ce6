//go:build js && wasm

package main

import (
	"context"
	"errors"
	"syscall/js"

	"lamplighter/wasm/promise"
)

// pageSealer makes backups through the worker's globalThis.__lamplighterBackup,
// which loads the age program only then.
type pageSealer struct{}

var errNoService = errors.New("the page offers no backups")

func (pageSealer) Seal(_ context.Context, plaintext []byte, passphrase string) (string, error) {
	service := js.Global().Get("__lamplighterBackup")
	if !service.Truthy() {
		return "", errNoService
	}
	data := js.Global().Get("Uint8Array").New(len(plaintext))
	js.CopyBytesToJS(data, plaintext)
	file, err := promise.Await(service.Call("encrypt", data, passphrase))
	if err != nil {
		return "", err
	}
	return file.String(), nil
}

func (pageSealer) Open(_ context.Context, armored, passphrase string) ([]byte, error) {
	service := js.Global().Get("__lamplighterBackup")
	if !service.Truthy() {
		return nil, errNoService
	}
	data, err := promise.Await(service.Call("decrypt", armored, passphrase))
	if err != nil {
		return nil, err
	}
	plaintext := make([]byte, data.Length())
	js.CopyBytesToGo(plaintext, data)
	return plaintext, nil
}
