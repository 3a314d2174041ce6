package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"lamplighter/internal/cose"
	"lamplighter/internal/device"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/label"
	"lamplighter/internal/settings"
	"lamplighter/internal/sim/models"
	"lamplighter/internal/store/bolt"
)

type deviceCmd struct {
	Data      string         `type:"path" required:"" help:"Folder of its state, its memory over power cuts."`
	ID        string         `required:"" help:"Device id (EUI-64), 16 hex digits."`
	Secret    string         `help:"Label secret, 32 hex digits; default: one is made and kept in the data folder."`
	Model     string         `default:"lamp-dim-1" help:"Its model: lamp-dim-1, lamp-emergency-1, switch-2 or sensor-pir-1."`
	Name      string         `help:"Name in the label's row." default:"Lamp"`
	Listen    netip.AddrPort `default:"127.1.200.1:5683" help:"UDP address of the lamp."`
	Group     netip.AddrPort `default:"224.0.1.187:5683" help:"Multicast address and port that it listens to."`
	Interface string         `default:"lo" help:"Network interface of multicast traffic."`
	Leisure   time.Duration  `default:"250ms" help:"Longest random delay before it answers a group message."`
	Reboot    time.Duration  `default:"1s" help:"How long it is silent while it restarts."`
	VendorKey string         `type:"existingfile" placeholder:"FILE" help:"Key of the vendor, whose firmware it takes: PEM, public or private. With a private one it has settings, too. Default: it takes none."`
	Schema    string         `type:"existingfile" placeholder:"FILE" help:"Signed schema of its settings, instead of one that is made with the vendor's private key."`
	lossFlags
}

// Help is what `lamplighter device --help` adds.
func (deviceCmd) Help() string {
	return "A lamp as a real CoAP server. It prints its label as a CSV table; import that on the page."
}

func (c deviceCmd) Run(ctx context.Context, logger *slog.Logger) error {
	if err := c.check(); err != nil {
		return err
	}
	id, err := label.ParseID(c.ID)
	if err != nil {
		return fmt.Errorf("reading --id: %w", err)
	}
	secret, err := c.labelSecret()
	if err != nil {
		return err
	}
	db, err := bolt.Open(filepath.Join(c.Data, "device.db"))
	if err != nil {
		return fmt.Errorf("opening the device's store: %w", err)
	}
	defer db.Close()
	own, err := c.settings()
	if err != nil {
		return err
	}
	faults := newLampFaults(binary.BigEndian.Uint64(id[:]), c.lossFlags)
	l := &lamp{
		name: c.Name, addr: c.Listen, restarts: c.Reboot, faults: faults,
		config: device.Config{
			ID: id, Model: c.Model, HW: hardware[0], FW: factoryVersion, LabelSecret: secret,
			Store: db, GroupAddr: c.Group, Logger: logger, Settings: own.config(), Emergency: battery(c.Model, 1, faults),
		},
		udp: endpoint.UDPOptions{Multicast: c.Group, Interface: c.Interface, Leisure: c.Leisure, Logger: logger},
	}
	defer l.scrap()
	if err := c.solder(l); err != nil {
		return err
	}
	if err := l.powerOn(); err != nil {
		return err
	}
	out := l.label()
	out.Address = c.Listen
	if err := label.WriteCSV(os.Stdout, []label.Label{out}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// solder gives the lamp a flash when there is a vendor whose firmware it takes.
func (c deviceCmd) solder(l *lamp) error {
	if c.VendorKey == "" {
		return nil
	}
	anchor, err := readAnchor(c.VendorKey)
	if err != nil {
		return err
	}
	return l.solder(filepath.Join(c.Data, "flash.nor"), []cose.PublicKey{anchor})
}

// settings are what the device's settings mean, nil when it has none.
func (c deviceCmd) settings() (*modelSettings, error) {
	if models.Source(c.Model) == nil {
		return nil, fmt.Errorf("there is no model %q; there are: %s", c.Model, strings.Join(models.Names(), ", "))
	}
	if c.Schema != "" {
		doc, err := readBounded(c.Schema, maxSchemaFile)
		if err != nil {
			return nil, err
		}
		s, _, err := settings.ReadSchema(doc)
		if err == nil && s.Model != c.Model {
			err = fmt.Errorf("it is of the model %s", s.Model)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Schema, err)
		}
		return &modelSettings{s, doc}, nil
	}
	if c.VendorKey == "" {
		return nil, nil
	}
	key, err := readPrivateKey(c.VendorKey)
	if err != nil {
		return nil, nil // a public key signs nothing
	}
	all, err := signModels(key, c.Leisure)
	return all[c.Model], err
}

func (c deviceCmd) labelSecret() ([]byte, error) {
	if c.Secret == "" {
		return secretFile(filepath.Join(c.Data, "label.secret"), label.SecretSize)
	}
	secret, err := hex.DecodeString(c.Secret)
	if err != nil || len(secret) != label.SecretSize {
		return nil, errors.New("--secret must be 32 hex digits")
	}
	return secret, os.MkdirAll(c.Data, 0o700)
}
