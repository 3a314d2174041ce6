package device

import (
	"context"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
	"lamplighter/internal/label"
	"lamplighter/internal/settings"
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
	a := idAnswer{ID: d.cfg.ID[:], Model: d.cfg.Model, HW: d.cfg.HW, FW: d.version()}
	if d.claim != nil {
		a.Claimed, a.Name = 1, d.claim.Name
	}
	if _, want := coap.Query(req.Message, "cred"); want {
		a.Cred = d.cred
	}
	return answer(coap.Content, a)
}

// getCore lists the entry point, /ll/id, and where there is one the firmware, as far as
// the query's filters fit. To a group a device that they do not fit is silent. RFC
// 6690, Section 4.1.
func (d *Device) getCore(_ context.Context, req *coap.Request) *coap.Message {
	links := coap.FilterLinks(d.links(), req.Message)
	if len(links) == 0 && req.Multicast {
		return nil
	}
	return coap.Respond(coap.Content, formatLinks, coap.FormatLinks(links))
}

func (d *Device) links() []coap.Link {
	links := []coap.Link{{Target: "/ll/id", Attributes: []coap.Attribute{
		{Name: "rt", Value: "ll.id"}, {Name: "ep", Value: label.FormatID(d.cfg.ID)}, {Name: "et", Value: d.cfg.Model},
	}}}
	if d.settings != nil {
		links = append(links, coap.Link{Target: settings.PathValues, Attributes: []coap.Attribute{{Name: "rt", Value: "ll.cfg"}}})
	}
	if d.fw != nil {
		links = append(links, coap.Link{Target: firmware.PathStatus, Attributes: []coap.Attribute{{Name: "rt", Value: "ll.fw"}}})
	}
	return links
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
