package device

import (
	"context"
	"errors"
	"fmt"

	"lamplighter/internal/ace"
	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
)

// formatCBOR is application/cbor (RFC 8949, Section 9.2).
const formatCBOR = 60

// Errors by consequence; problem maps them to response codes.
var (
	errMalformed = errors.New("malformed request")                                // 4.00
	errDenied    = errors.New("not yours")                                        // 4.03
	errConflict  = errors.New("conflict")                                         // 4.09
	errNeedsGM   = errors.New("the Group Manager is needed first")                // 5.03
	errUnbuilt   = errors.New("the group uses algorithms that this device lacks") // 5.01
	errStore     = errors.New("it could not be stored")                           // 5.00
)

// refusal is an error with the sentence that the peer gets to read.
type refusal struct {
	kind     error
	sentence string
}

func (r *refusal) Error() string { return r.sentence }
func (r *refusal) Unwrap() error { return r.kind }

// refuse makes an error of one of the kinds above.
func refuse(kind error, format string, args ...any) error {
	return &refusal{kind, fmt.Sprintf(format, args...)}
}

// problem is the answer to a request that failed. Only the sentences of refusals
// leave the device.
func problem(err error) *coap.Message {
	code := coap.InternalServerError
	for _, m := range []struct {
		kind error
		code coap.Code
	}{
		{errMalformed, coap.BadRequest}, {errDenied, coap.Forbidden}, {errConflict, coap.Conflict},
		{errNeedsGM, coap.ServiceUnavailable}, {errUnbuilt, coap.NotImplemented},
	} {
		if errors.Is(err, m.kind) {
			code = m.code
		}
	}
	var r *refusal
	if errors.As(err, &r) {
		return coap.Problem(code, r.sentence)
	}
	return coap.Problem(code, "The device could not store the change.")
}

// routes is the table of resources, methods and who may use them.
func (d *Device) routes() *coap.Mux {
	mux := coap.NewMux()
	mux.Handle(coap.GET, "/.well-known/core", d.getCore)
	mux.Handle(coap.GET, "/ll/id", d.getID)
	mux.Handle(coap.POST, "/ll/claim", d.only(d.byLabel, d.postClaim))
	mux.Handle(coap.DELETE, "/ll/claim", d.only(d.byReleaser, d.deleteClaim))
	mux.Handle(coap.POST, "/ll/blink", d.only(d.byHolder, d.postBlink))
	mux.Handle(coap.POST, "/ll/pop", d.only(d.byManager, d.postPop))
	mux.Handle(coap.GET, "/ll/groups", d.only(d.byManager, d.getGroups))
	mux.Handle(coap.PUT, "/ll/groups/{name}", d.only(d.byManager, d.putGroup))
	mux.Handle(coap.DELETE, "/ll/groups/{name}", d.only(d.byManager, d.deleteGroup))
	mux.Handle(coap.GET, "/ll/commissioners", d.only(d.byManager, d.getCommissioners))
	mux.Handle(coap.PUT, "/ll/commissioners", d.only(d.byAdmin, d.putCommissioners))
	mux.Handle(coap.POST, "/ace-group/{name}", d.postMany)
	mux.Handle(coap.POST, "/ace-group/{name}/node", d.postNode)
	mux.Handle(coap.DELETE, "/ace-group/{name}/node", d.deleteNode)
	mux.Handle(coap.GET, "/light", d.only(d.byRequester, d.getLight))
	mux.Handle(coap.PUT, "/light", d.only(d.byRequester, d.awake(d.putLight)))
	d.registerSettings(mux)
	d.registerEmergency(mux)
	d.registerFirmware(mux)
	return mux
}

// admit is in front of all resources: the first use of the owner key closes the
// label, and to a group only successes are answered (RFC 7252, Section 8.2).
func (d *Device) admit(next coap.Handler) coap.Handler {
	return coap.HandlerFunc(func(ctx context.Context, req *coap.Request) *coap.Message {
		if req.Peer.Kind == coap.PeerPSK {
			if req.Multicast { // sessions are between two
				return nil
			}
			if err := d.confirm(req.Peer); err != nil {
				return problem(err)
			}
		}
		d.leisure(req)
		resp := next.Serve(ctx, req)
		if req.Multicast && resp != nil && coap.Class(resp.Code) != 2 {
			return nil
		}
		return resp
	})
}

// only lets a request pass whose peer is allowed.
func (d *Device) only(allowed func(coap.Peer) bool, h coap.HandlerFunc) coap.HandlerFunc {
	return func(ctx context.Context, req *coap.Request) *coap.Message {
		switch {
		case allowed(req.Peer):
			return h(ctx, req)
		case req.Peer.Kind == coap.PeerNone:
			return coap.Problem(coap.Unauthorized, "This resource is for protected requests only.")
		default:
			return problem(refuse(errDenied, "This is not for you to do here."))
		}
	}
}

// byReleaser allows who may release the device.
func (d *Device) byReleaser(p coap.Peer) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mayRelease(p)
}

// isOwner recognises the session on the owner key of the present claim.
func (d *Device) isOwner(p coap.Peer) bool {
	cred, _ := p.Data.([]byte)
	return p.Kind == coap.PeerPSK && p.Name == peerOwner && d.claim != nil && string(cred) == string(d.claim.SiteCred)
}

// byLabel allows the session on the label secret.
func (d *Device) byLabel(p coap.Peer) bool { return p.Kind == coap.PeerPSK && p.Name == peerLabel }

// byHolder allows who manages the device, and the label while nobody owns it.
func (d *Device) byHolder(p coap.Peer) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return p.Kind == coap.PeerPSK && d.rightsOf(p)&rightManage != 0 || d.byLabel(p) && d.claim == nil
}

// byRequester allows members of a group that have the requester role in it.
func (d *Device) byRequester(p coap.Peer) bool {
	s, ok := p.Data.(*sender)
	return ok && (p.Kind == coap.PeerGroup || p.Kind == coap.PeerPairwise) && s.roles.Has(ace.RoleRequester)
}

// decode reads the CBOR payload of a request into v.
func decode(req *coap.Request, v any) error {
	if format, has := coap.ContentFormat(req.Message); has && format != formatCBOR {
		return refuse(errMalformed, "The payload has to be CBOR (Content-Format %d).", formatCBOR)
	}
	if err := cbor.Unmarshal(req.Payload, v); err != nil {
		return refuse(errMalformed, "The payload is not the CBOR map that belongs here.")
	}
	return nil
}

// answer makes a response with a CBOR payload.
func answer(code coap.Code, v any) *coap.Message {
	return coap.Respond(code, formatCBOR, cbor.MustMarshal(v))
}

// done makes a response without a payload.
func done(code coap.Code) *coap.Message { return coap.Respond(code, coap.NoFormat, nil) }
