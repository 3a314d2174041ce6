package as

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// deviceIDSize is the size of a device's id, an EUI-64, in bytes.
const deviceIDSize = 8

// registration is the payload of PUT /devices/HEXID, and what GET answers.
//
//	registration = { 1: bstr .size 32,   ; thumbprint of the device's credential
//	                 2: tstr }           ; model
type registration struct {
	Thumbprint []byte `cbor:"1,keyasint"`
	Model      string `cbor:"2,keyasint,omitempty"`
}

// validDeviceID reports whether id is a device id as it is written: 16
// lower-case hex digits.
func validDeviceID(id string) bool {
	b, err := hex.DecodeString(id)
	return err == nil && len(b) == deviceIDSize && hex.EncodeToString(b) == id
}

// deviceRequest finds out who asks about which device; refused is the answer when
// that is not to be found out.
func (s *Server) deviceRequest(ctx context.Context, req *coap.Request) (who string, i *installerRecord, id string, refused *coap.Message) {
	who, i, err := s.client(ctx, req)
	id = coap.Param(ctx, "id")
	switch {
	case err != nil:
		refused = s.broken("devices", err)
	case i == nil:
		refused = coap.Problem(coap.Unauthorized, "Registering devices takes an installer's session.")
	case !validDeviceID(id):
		refused = coap.Problem(coap.BadRequest, "A device's id is 16 lower-case hex digits.")
	}
	return who, i, id, refused
}

// answerDevice makes the answer of a change that was committed or refused.
func (s *Server) answerDevice(code coap.Code, err error) *coap.Message {
	var no *refusal
	switch {
	case err == nil:
		return coap.Respond(code, coap.NoFormat, nil)
	case errors.As(err, &no):
		return coap.Problem(no.code, no.why)
	}
	return s.broken("devices", err)
}

var errNotYours = &refusal{coap.Forbidden, "The device is registered by somebody else."}

// registerDevice answers PUT /devices/HEXID: 2.01 for a new device, 2.04 for one
// that was registered with the same credential, 4.03 for somebody else's, 4.09
// for another credential.
func (s *Server) registerDevice(ctx context.Context, req *coap.Request) *coap.Message {
	who, i, id, refused := s.deviceRequest(ctx, req)
	if refused != nil {
		return refused
	}
	var body registration
	if !isCBOR(req) || cbor.Unmarshal(req.Payload, &body) != nil || len(body.Thumbprint) != ace.ThumbprintSize ||
		body.Model != "" && checkName(body.Model) != nil {
		return coap.Problem(coap.BadRequest, "A registration has a thumbprint of 32 bytes and a model.")
	}
	code := coap.Created
	err := s.commit(ctx, "register device", func(tx store.Tx) error {
		known, err := load[deviceRecord](tx, prefixDevice+id)
		if err != nil {
			return err
		}
		code = coap.Created
		record := deviceRecord{
			Site: i.site(who), Thumbprint: body.Thumbprint, Model: body.Model, Installer: who, Since: seconds(s.cfg.Now()),
		}
		if known != nil {
			switch {
			case known.Site != record.Site:
				return errNotYours
			case !bytes.Equal(known.Thumbprint, body.Thumbprint):
				return &refusal{coap.Conflict, "The device is registered with another credential. Delete it first if it was reset."}
			}
			code, record.Installer, record.Since = coap.Changed, known.Installer, known.Since
		}
		return save(tx, prefixDevice+id, record)
	})
	if err == nil && code == coap.Created {
		s.log.Info("registered a device", "device", id, "model", body.Model, "installer", who)
	}
	return s.answerDevice(code, err)
}

// forgetDevice answers DELETE /devices/HEXID: 2.02 also for an unknown device,
// 4.03 for somebody else's. The device's tokens are revoked, as its memberships
// end with its registration.
func (s *Server) forgetDevice(ctx context.Context, req *coap.Request) *coap.Message {
	who, i, id, refused := s.deviceRequest(ctx, req)
	if refused != nil {
		return refused
	}
	err := s.changeList(ctx, "forget device", func(tx store.Tx, c *change) error {
		known, err := load[deviceRecord](tx, prefixDevice+id)
		switch {
		case err != nil || known == nil:
			return err
		case known.Site != i.site(who):
			return errNotYours
		}
		return errors.Join(tx.Delete(prefixDevice+id), revokeTokens(tx, id, s.cfg.Now(), c))
	})
	if err == nil {
		s.log.Info("forgot a device", "device", id, "installer", who)
	}
	return s.answerDevice(coap.Deleted, err)
}

// showDevice answers GET /devices/HEXID: 2.05, 4.04 for an unknown device, 4.03
// for somebody else's.
func (s *Server) showDevice(ctx context.Context, req *coap.Request) *coap.Message {
	who, i, id, refused := s.deviceRequest(ctx, req)
	if refused != nil {
		return refused
	}
	known, err := s.device(ctx, id)
	switch {
	case err != nil:
		return s.broken("devices", err)
	case known == nil:
		return coap.Problem(coap.NotFound, "The device is not registered.")
	case known.Site != i.site(who):
		return s.answerDevice(0, errNotYours)
	}
	return coap.Respond(coap.Content, ace.FormatCBOR, cbor.MustMarshal(registration{known.Thumbprint, known.Model}))
}

func (s *Server) device(ctx context.Context, id string) (d *deviceRecord, err error) {
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		d, err = load[deviceRecord](tx, prefixDevice+id)
		return err
	})
	return d, err
}
