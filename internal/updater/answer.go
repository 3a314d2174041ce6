package updater

import (
	"context"
	"errors"
	"fmt"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
)

// Errors by consequence; problem maps them to response codes.
var (
	errMalformed = errors.New("malformed request")              // 4.00
	errDenied    = errors.New("not trusted")                    // 4.03
	errConflict  = errors.New("conflict")                       // 4.09
	errBefore    = errors.New("something has to come before")   // 4.12
	errTooLarge  = errors.New("too large")                      // 4.13
	errUnfit     = errors.New("not for this device")            // 4.22
	errUnbuilt   = errors.New("the device has no such part")    // 5.01
	errRestart   = errors.New("the device is about to restart") // 5.03
)

// sentence is an error that the peer gets to read.
type sentence struct {
	kind error
	text string
}

func (s *sentence) Error() string { return s.text }
func (s *sentence) Unwrap() error { return s.kind }

func refuse(kind error, format string, args ...any) error {
	return &sentence{kind, fmt.Sprintf(format, args...)}
}

// problem is the answer to a request that failed. Only sentences leave the device.
func problem(err error) *coap.Message {
	for _, m := range []struct {
		kind error
		code coap.Code
	}{
		{errMalformed, coap.BadRequest}, {errDenied, coap.Forbidden}, {errConflict, coap.Conflict},
		{errBefore, coap.PreconditionFailed}, {errTooLarge, coap.RequestEntityTooLarge},
		{errUnfit, coap.UnprocessableEntity}, {errUnbuilt, coap.NotImplemented}, {errRestart, coap.ServiceUnavailable},
	} {
		if s, ok := errors.AsType[*sentence](err); ok && s.kind == m.kind {
			return coap.Problem(m.code, s.text)
		}
	}
	if errors.Is(err, errFlash) {
		return coap.Problem(coap.InternalServerError, "The flash memory failed.")
	}
	return coap.Problem(coap.UnprocessableEntity, "What arrived is not the image of the manifest.")
}

// done makes a response without a payload.
func done(code coap.Code) *coap.Message { return coap.Respond(code, coap.NoFormat, nil) }

// Register adds the /fw resources. guard lets pass who may use them.
func (u *Updater) Register(mux *coap.Mux, guard func(coap.HandlerFunc) coap.HandlerFunc) {
	for _, r := range []struct {
		method coap.Code
		path   string
		f      coap.HandlerFunc
	}{
		{coap.GET, firmware.PathStatus, u.getStatus},
		{coap.FETCH, firmware.PathStatus, u.fetchStatus},
		{coap.PUT, firmware.PathManifest, u.putManifest},
		{coap.PUT, firmware.PathBlock, u.putBlock},
		{coap.POST, firmware.PathSession, u.postSession},
		{coap.POST, firmware.PathActivate, u.postActivate},
		{coap.GET, firmware.PathReport, u.getReport},
	} {
		mux.Handle(r.method, r.path, guard(u.serialise(r.f)))
	}
}

// serialise has one request served at a time, none once the device is about to
// restart, and keeps errors from a group (RFC 7252, Section 8.2).
func (u *Updater) serialise(f coap.HandlerFunc) coap.HandlerFunc {
	return func(ctx context.Context, req *coap.Request) *coap.Message {
		u.mu.Lock()
		defer u.mu.Unlock()
		resp := problem(refuse(errRestart, "The device is about to restart."))
		if !u.over {
			resp = f(ctx, req)
		}
		if req.Multicast && resp != nil && coap.Class(resp.Code) != 2 {
			return nil
		}
		return resp
	}
}
