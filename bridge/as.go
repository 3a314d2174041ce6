package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"lamplighter/bridge/access"
	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/commission"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/store"
)

// asName is the Authorization Server's name in tokens and in its credential.
const asName = "as"

type asCmd struct {
	Data      string         `type:"path" required:"" help:"Folder of its state; keys/ in it is shared with the Group Manager."`
	Listen    netip.AddrPort `default:"127.0.0.1:5690" help:"UDP address for CoAP."`
	Invite    string         `placeholder:"NAME" help:"Print an invitation link for this installer at the start."`
	Bridge    string         `default:"http://127.0.0.1:8080" help:"With --invite: the bridge's address as browsers see it."`
	GM        netip.AddrPort `name:"gm" default:"127.0.0.1:5691" help:"With --invite: the Group Manager's address."`
	Groups    []string       `name:"group" default:"hall-ceiling" help:"With --invite: groups that the installer may equip and command."`
	Multicast netip.AddrPort `default:"224.0.1.187:5683" help:"With --invite: the groups' multicast address."`
	Site      string         `default:"Site" help:"With --invite: the name of the site."`
}

// Help is what `lamplighter as --help` adds.
func (asCmd) Help() string {
	return "The Authorization Server knows installers and devices, and issues the tokens with which they join groups.\n" +
		"Run it, the Group Manager and the bridge with the same --data: they share the token key and the list of who may use the bridge."
}

func (c asCmd) Run(ctx context.Context, logger *slog.Logger) error {
	a, err := startAS(asOptions{data: c.Data, listen: c.Listen, logger: logger})
	if err != nil {
		return err
	}
	defer a.stop()
	fmt.Printf("Authorization Server on coap://%s\n", a.addr())
	if c.Invite != "" {
		if err := c.printInvitation(ctx, a); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

func (c asCmd) printInvitation(ctx context.Context, a *asRole) error {
	gm, err := loadIdentity(filepath.Join(c.Data, "keys"), gmName)
	if err != nil {
		return err
	}
	invitation, err := a.invite(ctx, c.Invite, c.Groups)
	if err != nil {
		return err
	}
	invitation.GMAddress, invitation.GMCred = c.GM.String(), gm.cred
	invitation.Multicast, invitation.Site = c.Multicast.String(), c.Site
	fmt.Printf("Invitation for %s: %s/#%s\n", c.Invite, c.Bridge, invitation.Encode())
	return nil
}

type asOptions struct {
	data   string
	listen netip.AddrPort
	logger *slog.Logger
}

// asRole is an Authorization Server with its store and its socket.
type asRole struct {
	server   *as.Server
	identity identity
	store    store.Store
	udp      *endpoint.UDP
}

func startAS(o asOptions) (*asRole, error) {
	id, tokenKey, db, err := openServer(o.data, asName)
	if err != nil {
		return nil, fmt.Errorf("starting the Authorization Server: %w", err)
	}
	role := &asRole{identity: id, store: db}
	door, err := access.Open(o.data, time.Now)
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("starting the Authorization Server: %w", err)
	}
	role.server, err = as.New(as.Config{
		Store: db, Now: time.Now, Rand: rand.Reader, Key: id.key, Issuer: asName,
		GMs: map[string]ace.TokenKey{gmName: tokenKey}, Policy: as.AllGroups(), Logger: o.logger, Access: door,
	})
	if err == nil {
		role.udp, err = endpoint.ListenUDP(o.listen, role.server.Handler(), endpoint.UDPOptions{Logger: o.logger})
	}
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("starting the Authorization Server: %w", err)
	}
	return role, nil
}

// invite makes an invitation with what the Authorization Server knows of it;
// groups are those that the installer may use, none means all.
func (r *asRole) invite(ctx context.Context, name string, groups []string) (commission.Invitation, error) {
	made, err := r.server.Invite(ctx, name, as.AllGroups(groups...))
	if err != nil {
		return commission.Invitation{}, fmt.Errorf("making the invitation: %w", err)
	}
	return commission.Invitation{
		AccessCode: made.Code, ID: []byte(made.ID), Secret: made.Secret,
		ASAddress: r.addr().String(), ASCred: r.server.Credential(), Installer: name,
	}, nil
}

func (r *asRole) addr() netip.AddrPort { return r.udp.Addr() }

func (r *asRole) stop() {
	r.udp.Close()
	r.store.Close()
}
