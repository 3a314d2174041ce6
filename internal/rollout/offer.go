package rollout

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
)

// offerAfter are after how many blocks manifest and opening are said again. One
// burst of losses takes neighbours; a device that hears the second or third lacks
// few blocks. Those behind the third are said only when it is probable that somebody
// has missed all before.
var offerAfter = [...]int{0, 8, 24, 40, 56, 80, 112}

const (
	surelyOffered = 3
	unknownLoss   = 0.15 // that offers are made for while fewer than fewMeasured are known
	fewMeasured   = 5
)

// offerCopies are the identical copies of the first.
const offerCopies = 2

func (s *Sender) manifest() *coap.Message {
	return request(coap.PUT, firmware.PathManifest, s.p.Envelope)
}

func (s *Sender) session(op firmware.Op) *coap.Message {
	body := firmware.SessionRequest{Session: s.st.Session, Op: op}
	if op == firmware.OpOpen {
		body.Block, body.K = uint(s.st.Block), uint(s.st.K)
	}
	return sessionRequest(body)
}

func sessionRequest(body firmware.SessionRequest) *coap.Message {
	return request(coap.POST, firmware.PathSession, body.Append(nil))
}

// begin opens the session at the devices, or asks those of a session that goes on
// what they have.
func (s *Sender) begin(ctx context.Context) error {
	if s.fresh {
		return s.resync(ctx)
	}
	if s.st.Phase != Planning {
		return nil
	}
	if s.taking() <= 1 { // nothing is gained by multicast
		s.mu.Lock()
		clear(s.st.Todo)
		s.mu.Unlock()
	}
	return s.enter(Sending)
}

// offer says manifest and opening to all, when it is time again.
func (s *Sender) offer(ctx context.Context) error {
	next := s.st.Offers < len(offerAfter) && s.st.Sent >= offerAfter[s.st.Offers]
	if next && s.st.Offers >= surelyOffered && s.missedOffers() < 0.1 {
		next = false
	}
	if !next && !s.roll.due {
		return nil
	}
	copies := 1
	if next && s.st.Offers == 0 {
		copies = offerCopies
		for _, id := range s.st.Foreign {
			if err := s.send(ctx, sessionRequest(firmware.SessionRequest{Session: id, Op: firmware.OpAbort}), copies); err != nil {
				return err
			}
		}
	}
	for _, req := range []*coap.Message{s.manifest(), s.session(firmware.OpOpen)} {
		if err := s.send(ctx, req, copies); err != nil {
			return err
		}
	}
	s.roll.due, s.roll.calls = false, 0
	s.mu.Lock()
	if next {
		s.st.Offers++
	}
	for i := range s.st.Devices {
		if d := &s.st.Devices[i]; d.State == Waiting {
			d.State, d.HeardOf = Receiving, uint(s.st.Sent)
		}
	}
	s.mu.Unlock()
	return s.keep()
}

// missedOffers is how many devices will have missed all offers, of manifest or opening,
// as far as losses are known.
func (s *Sender) missedOffers() float64 {
	return 2 * float64(s.taking()) * math.Pow(s.lossAssumed(), float64(s.st.Offers+offerCopies-1))
}

// lossAssumed is the loss that openings are said for.
func (s *Sender) lossAssumed() float64 {
	loss, measured := max(s.loss(), s.st.Options.Loss), 0
	for i := range s.st.Devices {
		if s.st.Devices[i].Span > 0 {
			measured++
		}
	}
	if measured < fewMeasured {
		loss = max(loss, unknownLoss)
	}
	return loss
}

// offerOne says manifest and opening to one device.
func (s *Sender) offerOne(ctx context.Context, id string) error {
	s.mu.Lock()
	s.device(id).Tries++
	s.mu.Unlock()
	for _, foreign := range s.st.Foreign { // that another sender has open there
		s.call(ctx, id, sessionRequest(firmware.SessionRequest{Session: foreign, Op: firmware.OpAbort}))
	}
	for _, req := range []*coap.Message{s.manifest(), s.session(firmware.OpOpen)} {
		r := s.call(ctx, id, req)
		if err := ctx.Err(); err != nil {
			return err
		}
		if coap.Class(r.code()) != 2 {
			return s.refused(ctx, id, r)
		}
	}
	s.mu.Lock()
	s.device(id).HeardOf = uint(s.st.Sent) // it can have heard nothing before
	s.mu.Unlock()
	return s.check(ctx, id, firmware.FieldProgress)
}

// refused notes why a device did not take the manifest or the opening.
func (s *Sender) refused(ctx context.Context, id string, r reply) error {
	why := r.problem()
	switch code := r.code(); {
	case code == coap.Conflict:
		why = reasonBusy
	case coap.Class(code) >= 4 && code != coap.NotFound:
		status := s.call(ctx, id, fetchRequest(firmware.FieldProgress, s.st.Session, 0))
		if known := ofResult(status.status.Result); known != nil {
			why = known
		} else if why != reasonDenied {
			why = reasonRefused.With("%s", sentence(r.answer.Resp.Payload))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.device(id); r.err != nil && ctx.Err() == nil {
		s.unheard(d, r)
	} else if r.err == nil {
		s.fail(d, Broken, why)
	}
	return ctx.Err()
}

// sentence is a diagnostic payload for a person.
func sentence(payload []byte) string {
	const most = 200
	text := bytes.ToValidUTF8(payload, nil)
	return string(text[:min(len(text), most)])
}

// call makes a request to one device and counts its bytes.
func (s *Sender) call(ctx context.Context, id string, req *coap.Message) reply {
	r := call(ctx, &s.p, id, req)
	s.note(&r)
	return r
}

// callAll makes a request to each and counts the bytes.
func (s *Sender) callAll(ctx context.Context, ids []string, req *coap.Message) []reply {
	replies := callAll(ctx, &s.p, ids, req)
	for i := range replies {
		s.note(&replies[i])
	}
	return replies
}

// callTwice is callAll that asks once more who did not answer: bursts of losses end.
func (s *Sender) callTwice(ctx context.Context, ids []string, req *coap.Message) []reply {
	replies := s.callAll(ctx, ids, req)
	var again []string
	for _, r := range replies {
		if errors.Is(r.err, coap.ErrTimeout) {
			again = append(again, r.device)
		}
	}
	for _, r := range s.callAll(ctx, again, req) {
		replies[slices.Index(ids, r.device)] = r
	}
	return replies
}

// retransmitted is from when on a round trip may have had a retransmission in it: it
// does not count then. RFC 7252, Section 4.8 (ACK_TIMEOUT); RFC 6298, Section 3.
const retransmitted = 2 * time.Second

// note counts an exchange.
func (s *Sender) note(r *reply) {
	s.count(r.answer.Sent + r.answer.Size)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.answer.RTT > 0 && r.answer.RTT < retransmitted {
		if s.rtt == 0 {
			s.rtt = r.answer.RTT
		}
		s.rtt = (7*s.rtt + r.answer.RTT) / 8 // RFC 6298, Section 2
	}
}

// check asks one device and takes what it says.
func (s *Sender) check(ctx context.Context, id string, fields firmware.Field) error {
	of := s.st.Sent
	r := s.call(ctx, id, fetchRequest(fields, s.st.Session, 0))
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	s.take(s.device(id), r, of)
	s.mu.Unlock()
	return nil
}
