package gm

import (
	"context"
	"strings"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/store"
)

// discovery answers GET /.well-known/core: the group-collection resource and the
// root of the groups for everybody, the groups themselves for clients whose token
// speaks of them. GMA, Section 2.3; KGO, Section 8; RFC 6690, Section 4.
func (s *Server) discovery(ctx context.Context, req *coap.Request) *coap.Message {
	if req.Code != coap.GET {
		return coap.Problem(coap.MethodNotAllowed, "The resource does not know this method.")
	}
	links := []coap.Link{
		{Target: "/ace-group", Attributes: []coap.Attribute{{Name: "if", Value: "ace.groups"}}},
		link("/"+managePath, ace.ResourceTypeGroupCollection, coap.Attribute{Name: "ct", Value: "40"}, coap.Attribute{Name: "obs", Flag: true}),
	}
	if associated(req.Peer) {
		err := s.cfg.Store.View(ctx, func(tx store.Tx) error {
			known, err := s.groupLinks(tx, req.Peer.Name)
			links = append(links[:2:2], known...)
			return err
		})
		if err != nil {
			return s.broken("discovery", err)
		}
	}
	return acceptable(req, coap.Respond(coap.Content, coap.FormatLink, coap.FormatLinks(coap.FilterLinks(links, req.Message))))
}

// groupLinks are links to the group-membership resources that a client's token
// speaks of.
func (s *Server) groupLinks(tx store.Tx, association string) ([]coap.Link, error) {
	assoc, err := load[associationRecord](tx, associationKey(association))
	if err != nil || assoc == nil || assoc.Revoked {
		return nil, err
	}
	a := administration{grants: grants(assoc.Scope)}
	var links []coap.Link
	err = tx.Scan(groupKey(""), func(key string, _ []byte) bool {
		name := strings.TrimPrefix(key, groupKey(""))
		if _, user := assoc.entry(name); user || a.perm(name) != 0 {
			links = append(links, link(groupPath("ace-group", name), ace.ResourceTypeGroup, coap.Attribute{Name: "if", Value: "ace.group"}))
		}
		return true
	})
	return links, err
}
