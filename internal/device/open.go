package device

import (
	"context"
	"strings"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/label"
)

// formatLinks is application/link-format (RFC 6690).
const formatLinks = 40

// idAnswer is what everybody may know.
//
//	ll-id = { 1: bstr .size 8, 2: tstr, 3: tstr, 4: tstr, 5: 0 / 1, ? 6: tstr, ? 7: bstr }
type idAnswer struct {
	ID      []byte `cbor:"1,keyasint"`
	Model   string `cbor:"2,keyasint"`
	HW      string `cbor:"3,keyasint"`
	FW      string `cbor:"4,keyasint"`
	Claimed uint   `cbor:"5,keyasint"`
	Name    string `cbor:"6,keyasint,omitempty"`
	Cred    []byte `cbor:"7,keyasint,omitempty"`
}

func (d *Device) getID(_ context.Context, req *coap.Request) *coap.Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := idAnswer{ID: d.cfg.ID[:], Model: d.cfg.Model, HW: d.cfg.HW, FW: d.cfg.FW}
	if d.claim != nil {
		a.Claimed, a.Name = 1, d.claim.Name
	}
	if _, want := coap.Query(req.Message, "cred"); want {
		a.Cred = d.cred
	}
	return answer(coap.Content, a)
}

// getCore lists the entry point, /ll/id, when the query's filters fit it. To a
// group a device that they do not fit is silent. RFC 6690, Section 4.1.
func (d *Device) getCore(_ context.Context, req *coap.Request) *coap.Message {
	link := []struct{ name, value string }{
		{"rt", "ll.id"}, {"ep", label.FormatID(d.cfg.ID)}, {"et", d.cfg.Model}, {"href", "/ll/id"},
	}
	fits := true
	for q := range coap.Each(req.Message, coap.OptionURIQuery) {
		name, want, _ := strings.Cut(string(q), "=")
		one := false
		for _, l := range link {
			one = one || l.name == name && filterFits(want, l.value)
		}
		fits = fits && one
	}
	if !fits {
		if req.Multicast {
			return nil
		}
		return coap.Respond(coap.Content, formatLinks, nil)
	}
	return coap.Respond(coap.Content, formatLinks, []byte(d.link()))
}

func (d *Device) link() string {
	return `</ll/id>;rt="ll.id";ep="` + label.FormatID(d.cfg.ID) + `";et="` + quoted.Replace(d.cfg.Model) + `"`
}

// quoted escapes what a quoted-string may not hold. RFC 6690, Section 2.
var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// filterFits compares with a value that may end in a wildcard.
func filterFits(want, value string) bool {
	if prefix, wild := strings.CutSuffix(want, "*"); wild {
		return strings.HasPrefix(value, prefix)
	}
	return want == value
}

// Blinking, in seconds.
const (
	defaultBlink = 5
	maxBlink     = 60
)

// blinkRequest asks the lamp to show itself.
//
//	blink = { ? 1: uint }  ; seconds, 0 ends it
type blinkRequest struct {
	Seconds *uint `cbor:"1,keyasint"`
}

func (d *Device) postBlink(_ context.Context, req *coap.Request) *coap.Message {
	var b blinkRequest
	if len(req.Payload) > 0 {
		if err := decode(req, &b); err != nil {
			return problem(err)
		}
	}
	seconds := uint(defaultBlink)
	if b.Seconds != nil {
		seconds = *b.Seconds
	}
	if seconds > maxBlink {
		return problem(refuse(errMalformed, "The lamp blinks for at most %d seconds.", maxBlink))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.blinkUntil = d.cfg.Now().Add(time.Duration(seconds) * time.Second)
	return done(coap.Changed)
}
