package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"lamplighter/internal/coap"
	"lamplighter/internal/settings"
	kept "lamplighter/internal/settings/holder"
)

// press presses a button of a switch.
func (d *demo) press(r *http.Request) error {
	l, err := d.lamp(r)
	if err != nil {
		return err
	}
	button, err := strconv.ParseUint(r.URL.Query().Get("button"), 10, 8)
	if err != nil {
		return errors.New("say ?button=0 to 3")
	}
	return l.current().Press(r.Context(), uint(button))
}

// occupied moves in front of a sensor. That nobody does it finds by itself.
func (d *demo) occupied(r *http.Request) error {
	l, err := d.lamp(r)
	if err != nil {
		return err
	}
	if on, err := wanted(r); err != nil || !on {
		return err
	}
	return l.current().Moved(r.Context(), 100)
}

// drift changes a setting behind the site's back, as somebody with another tool does.
func (d *demo) drift(r *http.Request) error {
	l, err := d.lamp(r)
	if err != nil {
		return err
	}
	h := l.current().Settings()
	if h == nil {
		return errors.New("the device has no settings")
	}
	q := r.URL.Query()
	def := h.Schema().Named(q.Get("name"))
	if def == nil {
		return errors.New("say ?name= of a setting and &value= in JSON")
	}
	var value any
	if err := json.Unmarshal([]byte(q.Get("value")), &value); err != nil {
		return errors.New("value is JSON, such as 80 or \"Door\"")
	}
	patch, err := h.Schema().FromJSON(map[string]any{strconv.FormatUint(def.Key, 10): value})
	if err != nil {
		return err
	}
	return alter(r.Context(), h, patch)
}

// alter carries out a whole change at a device.
func alter(ctx context.Context, h *kept.Holder, patch settings.Map) error {
	mux := coap.NewMux()
	h.Register(mux, func(f coap.HandlerFunc) coap.HandlerFunc { return f })
	t := settings.Transaction{Txn: make([]byte, settings.TxnSize)}
	rand.Read(t.Txn)
	for _, mode := range []settings.Mode{settings.ModeStage, settings.ModeCommit, settings.ModeConfirm} {
		t.Mode, t.Schema, t.Patch, t.Nonces = mode, 0, nil, nil
		if mode == settings.ModeStage {
			t.Schema, t.Patch = h.Schema().Version, patch
		} else {
			s, err := served(ctx, mux, coap.FETCH, settings.PathValues, (&settings.StatusRequest{Fields: settings.FieldNonce}).Append(nil))
			if err != nil {
				return err
			}
			t.Nonces = s.Nonce
		}
		s, err := served(ctx, mux, coap.POST, settings.PathTransaction, t.Append(nil))
		if err != nil {
			return err
		}
		if s.Result > settings.ResultWithdrawn {
			return fmt.Errorf("the device says: %s", s.Result)
		}
	}
	return nil
}

func served(ctx context.Context, mux *coap.Mux, code coap.Code, path string, body []byte) (s settings.Status, err error) {
	resp := mux.Serve(ctx, &coap.Request{Message: coap.NewRequest(code, path, body)})
	if resp == nil || resp.Code>>5 != 2 {
		return s, fmt.Errorf("the device refuses %s", path)
	}
	return settings.ParseStatus(resp.Payload)
}
