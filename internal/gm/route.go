package gm

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// who is a set of kinds of clients. KGO, Section 8.5.
type who uint8

const (
	sender   who = 1 << iota // member as a requester or responder
	monitor                  // member as a monitor
	verifier                 // no member, its token has the verifier's role
	outsider                 // no member, its token has other roles

	members = sender | monitor
	anyone  = members | verifier | outsider
)

// resource is one method of one resource below /ace-group.
type resource struct {
	path   string // "GROUP/num"; GROUP and NODE stand for one segment
	method coap.Code
	allow  who
	denied ace.ErrorID // told to everyone else with 4.03
	change string      // what it changes; "": it only reads
	serve  func(*exchange) (*coap.Message, error)
}

// routes lists what is built. The order of KGO, Section 8.5.
func routes() []resource {
	const only = ace.ErrorMembersOnly
	return []resource{
		{"", coap.FETCH, anyone, only, "", (*exchange).names},
		{"GROUP", coap.GET, members, only, "", (*exchange).keys},
		{"GROUP", coap.POST, anyone, only, "join", (*exchange).join},
		{"GROUP/active", coap.GET, members, only, "", (*exchange).active},
		{"GROUP/verif-data", coap.GET, verifier, ace.ErrorVerifiersOnly, "", (*exchange).verifData},
		{"GROUP/creds", coap.GET, members | verifier, only, "", (*exchange).allCreds},
		{"GROUP/creds", coap.FETCH, members | verifier, only, "", (*exchange).someCreds},
		{"GROUP/kdc-cred", coap.GET, members, only, "", (*exchange).kdcCred},
		{"GROUP/kdc-cred", coap.FETCH, verifier, ace.ErrorVerifiersOnly, "", (*exchange).verifierKDCCred},
		{"GROUP/stale-sids", coap.FETCH, members, only, "", (*exchange).staleSIDs},
		{"GROUP/policies", coap.GET, members, only, "", (*exchange).groupPolicies},
		{"GROUP/num", coap.GET, members, only, "", (*exchange).num},
		{"GROUP/nodes/NODE", coap.GET, members, only, "", (*exchange).ownKeys},
		{"GROUP/nodes/NODE", coap.POST, members, only, "renew", (*exchange).renew},
		{"GROUP/nodes/NODE", coap.DELETE, members, only, "leave", (*exchange).leave},
		{"GROUP/nodes/NODE/cred", coap.POST, members, only, "upload", (*exchange).upload},
	}
}

// exchange is one request below /ace-group that runs in one transaction.
type exchange struct {
	s     *Server
	ctx   context.Context
	tx    store.Tx
	req   *coap.Request
	now   time.Time
	assoc *associationRecord
	entry ace.ScopeEntry // the token's for this group
	group *groupRecord   // nil for /ace-group itself
	me    *memberRecord  // nil: no member
	after []func()       // runs when the transaction is durable

	writes bool  // whether the transaction can
	memo   *memo // of the request
}

// errStale says that a group's keys have expired and the transaction cannot
// write: it is done again as a change.
var errStale = errors.New("the group's keys have expired")

// serve answers every request whose peer is known as far as it can be.
func (s *Server) serve(ctx context.Context, req *coap.Request) *coap.Message {
	if req.Multicast {
		return nil
	}
	resp := s.dispatch(ctx, req)
	s.logRefusal(ctx, req, resp)
	s.counted(resp)
	call(s.cfg.Hooks.BeforeAnswer, coap.Path(req.Message))
	return resp
}

// logRefusal logs every error answer with what it says: whoever is nobody's peer
// only for those who look closely, as anybody can make them. KGO, Section 15.1; RFC
// 9594, Section 4.1.2.
func (s *Server) logRefusal(ctx context.Context, req *coap.Request, resp *coap.Message) {
	if coap.Class(resp.Code) == 2 {
		return
	}
	level := slog.LevelInfo
	if !associated(req.Peer) {
		level = slog.LevelDebug
	}
	args := []any{"method", req.Code.String(), "path", coap.Path(req.Message), "code", coap.CodeString(resp.Code), "association", req.Peer.Name}
	if id, detail, ok := ace.ParseProblem(resp); ok {
		args = append(args, "error", id.String(), "why", detail)
	} else if _, has := coap.ContentFormat(resp); !has {
		args = append(args, "why", string(resp.Payload))
	}
	s.log.Log(ctx, level, "refused a request", args...)
}

func (s *Server) dispatch(ctx context.Context, req *coap.Request) *coap.Message {
	var path []string
	for segment := range coap.Each(req.Message, coap.OptionURIPath) {
		path = append(path, string(segment))
	}
	if coap.HasOption(req.Message, coap.OptionIfMatch) && (len(path) == 0 || path[0] != managePath) {
		return coap.Problem(coap.BadOption, "If-Match is for group configurations.")
	}
	switch {
	case slices.Equal(path, []string{".well-known", "core"}):
		return s.discovery(ctx, req)
	case slices.Equal(path, []string{"authz-info"}):
		return s.authzInfo(ctx, req)
	case !associated(req.Peer):
		return s.unauthorizedTo(path, req.Code)
	case len(path) > 0 && path[0] == managePath:
		return s.manage(ctx, req, path[1:])
	case len(path) == 0 || path[0] != "ace-group":
		return coap.Problem(coap.NotFound, "There is no such resource here.")
	}
	r, name, node, refusal := s.find(req.Code, path[1:])
	if refusal != nil {
		return refusal
	}
	return s.run(ctx, r, req, name, node)
}

// find picks the resource and what stands for GROUP and NODE.
func (s *Server) find(method coap.Code, path []string) (r *resource, name, node string, refusal *coap.Message) {
	refusal = coap.Problem(coap.NotFound, "There is no such resource here.")
	if slices.Contains(path, "") { // it would name nothing, and nobody to check
		return nil, "", "", refusal
	}
	path = slices.Clone(path)
	if len(path) > 0 {
		name, path[0] = path[0], "GROUP"
	}
	if len(path) > 2 && path[1] == "nodes" {
		node, path[2] = path[2], "NODE"
	}
	for i := range s.routes {
		if joinPath(path) != s.routes[i].path {
			continue
		}
		if s.routes[i].method == method {
			return &s.routes[i], name, node, nil
		}
		refusal = coap.Problem(coap.MethodNotAllowed, "The resource does not know this method.")
	}
	return nil, "", "", refusal
}

func joinPath(path []string) string {
	out := ""
	for i, segment := range path {
		if i > 0 {
			out += "/"
		}
		out += segment
	}
	return out
}

// run serves a request in one transaction: a change is durable before it returns.
func (s *Server) run(ctx context.Context, r *resource, req *coap.Request, name, node string) *coap.Message {
	var x *exchange
	var resp *coap.Message
	known := new(memo)
	work := func(writes bool) func(store.Tx) error {
		return func(tx store.Tx) (err error) {
			x = &exchange{s: s, ctx: ctx, tx: tx, req: req, now: s.cfg.Now(), writes: writes, memo: known}
			if resp, err = x.admit(r, name, node, writes); err != nil || resp != nil {
				return err
			}
			resp, err = r.serve(x)
			return err
		}
	}
	var err error
	if r.change == "" {
		err = s.cfg.Store.View(ctx, work(false))
	}
	s.rehearse(ctx, r, work(false))
	if r.change != "" || errors.Is(err, errStale) {
		err = s.commit(ctx, r.change, work(true))
	}
	if err != nil {
		return s.broken(r.path, err)
	}
	for _, f := range x.after {
		f()
	}
	return s.observing(ctx, r, x, resp)
}

// admit loads what the request is about and checks that this client may make it.
// A group that the token does not speak of is forbidden whether or not there is
// one. RFC 9594, Section 4.1.2; KGO, Sections 8 and 8.5.
func (x *exchange) admit(r *resource, name, node string, writes bool) (*coap.Message, error) {
	var err error
	if x.assoc, err = load[associationRecord](x.tx, associationKey(x.req.Peer.Name)); err != nil {
		return nil, err
	}
	if x.assoc == nil || x.assoc.Revoked {
		return x.s.unauthorized(), nil
	}
	if out, err := isOut(x.tx, x.assoc.Subject); err != nil || out {
		return x.s.unauthorized(), err
	}
	if name == "" {
		return nil, nil
	}
	var ok bool
	if x.entry, ok = x.assoc.entry(name); !ok {
		return coap.Problem(coap.Forbidden, "The token is not for this group."), nil
	}
	if x.group, err = load[groupRecord](x.tx, groupKey(name)); err != nil {
		return nil, err
	}
	if x.group == nil {
		return coap.Problem(coap.NotFound, "There is no such group."), nil
	}
	if x.me, err = loadMember(x.tx, name, x.assoc.Subject); err != nil {
		return nil, err
	}
	if refusal, err := x.refuseEvicted(r, name); err != nil || refusal != nil {
		return refusal, err
	}
	if r.allow&x.client() == 0 {
		return ace.Problem(coap.Forbidden, r.denied, ""), nil
	}
	if node != "" && node != x.me.Node {
		return coap.Problem(coap.Forbidden, "This is another member's resource."), nil
	}
	if x.me != nil && r.allow&outsider == 0 && r.method != coap.DELETE && !x.assoc.grants(name, x.me) {
		return coap.Problem(coap.Forbidden, "The token does not grant the roles that the member has."), nil
	}
	if refusal, err := x.refuseBarred(r); err != nil || refusal != nil {
		return refusal, err
	}
	return nil, x.freshen(writes)
}

// client says what the client is to the group.
func (x *exchange) client() who {
	switch {
	case x.me != nil && x.me.SenderID != nil:
		return sender
	case x.me != nil:
		return monitor
	case x.entry.Roles.Has(ace.RoleVerifier):
		return verifier
	default:
		return outsider
	}
}

// freshen rekeys a group whose keys have expired. KGO, Section 7.
func (x *exchange) freshen(writes bool) error {
	if uint64(x.now.Unix()) < x.group.Expires {
		return nil
	}
	if !writes {
		return errStale
	}
	if err := x.s.rekey(x.tx, x.group, cause{reason: ReasonLifetime}); err != nil {
		return err
	}
	return x.saveGroup()
}

func (x *exchange) saveGroup() error { return save(x.tx, groupKey(x.group.Name), x.group) }

// note logs a change of the group once it is durable.
func (x *exchange) note(what string, args ...any) {
	args = append(args, "group", x.group.Name, "num", x.group.Num, "subject", x.assoc.Subject)
	x.after = append(x.after, func() { x.s.log.Info(what, args...) })
}
