package holder

import (
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/settings"
)

// Whatever comes in, in whatever state: nothing breaks, what is answered can be read,
// the digest is that of what runs, which its schema allows, and nothing that quotes no
// nonce of the device changes that.
func FuzzRequests(f *testing.F) {
	for state := range byte(4) {
		for mode := settings.ModeCheck; mode <= settings.ModeRevert; mode++ {
			s := step(txnA, mode, []byte("aaaabbbb"))
			if mode <= settings.ModeStage {
				s = stage(txnA, patch(60))
			}
			s.Fields = settings.FieldValues | settings.FieldNonce | settings.FieldSchema | settings.FieldBefore
			f.Add(state, true, mode%2 == 0, s.Append(nil))
		}
		q := settings.StatusRequest{Fields: 15, Keys: []uint64{1}, Of: []byte{1, 7}}
		f.Add(state, false, true, q.Append(nil))
	}
	f.Fuzz(func(t *testing.T, state byte, post, many bool, body []byte) {
		r := newRig(t).to(settings.State(state % 4))
		before := r.h.Values().Digest()
		r.nonce()
		if post {
			r.checked(r.serve(coap.POST, settings.PathTransaction, body, many), coap.Changed)
		} else {
			r.checked(r.serve(coap.FETCH, settings.PathValues, body, many), coap.Content)
		}
		if p, err := settings.ParseTransaction(body); err == nil && post && p.Quotes(r.h.spent) {
			return
		}
		if r.h.Values().Digest() != before {
			t.Fatal("it switched without a nonce")
		}
		r.boot()
		if _, why := r.cfg.Schema.Check(r.h.Values()); why.Refused() {
			t.Fatal(why)
		}
		r.pass(10 * 24 * time.Hour)
		r.pass(10 * 24 * time.Hour)
		r.runs("in the end", settings.Idle, 5)
	})
}

// checked reads an answer that may be a refusal of what is malformed.
func (r *rig) checked(resp *coap.Message, code coap.Code) {
	r.t.Helper()
	if resp != nil && resp.Code == coap.BadRequest {
		return
	}
	r.read(resp, code)
}
