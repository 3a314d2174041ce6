package holder

import (
	"bytes"
	"context"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/settings"
)

// formatSign1 is application/cose; cose-type="cose-sign1". RFC 9052, Section 11.3.2.
const formatSign1 = 18

// Register adds the /cfg resources, but for [settings.PathRecall], which is the
// device's. guard lets pass who may use them.
//
// What is well-formed is answered with 2.04 and a Status, also when it is refused:
// the result says so. To a group errors would not be told (RFC 7252, Section 8.2).
// Who is not meant stays silent to a group: by the list of addressees, or of nonces.
func (h *Holder) Register(mux *coap.Mux, guard func(coap.HandlerFunc) coap.HandlerFunc) {
	mux.Handle(coap.GET, settings.PathValues, guard(h.getValues))
	mux.Handle(coap.FETCH, settings.PathValues, guard(h.fetchValues))
	mux.Handle(coap.POST, settings.PathTransaction, guard(h.postTransaction))
	mux.Handle(coap.GET, settings.PathSchema, guard(h.getSchema))
}

func malformed(req *coap.Request, err error) *coap.Message {
	if req.Multicast {
		return nil
	}
	return coap.Problem(coap.BadRequest, "This is no request for settings: "+err.Error()+".")
}

func answer(code coap.Code, s settings.Status) *coap.Message {
	return coap.Respond(code, coap.FormatCBOR, s.Append(nil))
}

// means says whether the device is among the addressees of a group request.
func (h *Holder) means(req *coap.Request, of []byte) bool {
	if !req.Multicast || len(of) == 0 || h.cfg.SenderID == nil {
		return true
	}
	id := h.cfg.SenderID(req.Peer.Name)
	return id != nil && settings.Means(of, id)
}

func (h *Holder) getValues(context.Context, *coap.Request) *coap.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return answer(coap.Content, h.status(settings.FieldValues|settings.FieldSchema, nil))
}

func (h *Holder) fetchValues(_ context.Context, req *coap.Request) *coap.Message {
	r, err := settings.ParseStatusRequest(req.Payload)
	if err != nil {
		return malformed(req, err)
	}
	if !h.means(req, r.Of) {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.status(r.Fields, r.Keys)
	if len(r.Txn) > 0 && bytes.Equal(r.Txn, h.rec.Last) {
		s.Txn, s.Result = h.rec.Last, h.rec.End
	}
	return answer(coap.Content, s)
}

func (h *Holder) postTransaction(_ context.Context, req *coap.Request) *coap.Message {
	t, err := settings.ParseTransaction(req.Payload)
	if err != nil {
		return malformed(req, err)
	}
	if !h.means(req, t.Of) {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	prepares := t.Mode == settings.ModeCheck || t.Mode == settings.ModeStage
	if req.Multicast && !prepares && !t.Quotes(h.nonce.value) && !h.quoted(&t) {
		return nil
	}
	var o outcome
	if prepares {
		o = h.prepare(&t, t.Mode == settings.ModeStage)
	} else {
		o.result = h.act(&t)
	}
	s := h.status(t.Fields, nil)
	s.Txn, s.Result, s.Key = t.Txn, o.result, o.key
	if o.candidate != nil {
		s.Candidate = o.candidate
	}
	h.log.Debug("a step of a change of settings", "mode", t.Mode, "result", o.result.String(), "state", s.State.String())
	return answer(coap.Changed, s)
}

func (h *Holder) getSchema(_ context.Context, req *coap.Request) *coap.Message {
	switch {
	case req.Multicast:
		return nil
	case h.cfg.SchemaDoc == nil:
		return coap.Problem(coap.NotFound, "This device does not tell its schema.")
	}
	return coap.Respond(coap.Content, formatSign1, h.cfg.SchemaDoc)
}

// status is where the device stands; while a change is under way Result is none, else
// how the latest ended. h.mu is held.
func (h *Holder) status(fields settings.Field, keys []uint64) settings.Status {
	r := &h.rec
	s := settings.Status{State: r.State, Running: r.Values.Short(), Txn: r.Txn}
	if r.State == settings.Idle {
		s.Txn, s.Result = r.Last, r.End
	}
	if r.Candidate != nil {
		s.Candidate = r.Candidate.Short()
	}
	s.Left = uint(h.left() / time.Millisecond)
	if fields&settings.FieldValues != 0 {
		s.Values = only(r.Values, keys)
	}
	if fields&settings.FieldBefore != 0 && r.State == settings.Trial {
		s.Before = only(r.Before, keys)
	}
	if fields&settings.FieldSchema != 0 {
		s.Schema = h.cfg.Schema.Ref(h.cfg.SchemaDoc)
	}
	if fields&settings.FieldNonce != 0 {
		s.Nonce = h.newNonce()
	}
	return s
}

// only is the part of m with the keys; without any all of it.
func only(m settings.Map, keys []uint64) settings.Map {
	if len(keys) == 0 {
		return m
	}
	part := settings.Map{}
	for _, key := range keys {
		if v, has := m[key]; has {
			part[key] = v
		}
	}
	return part
}
