package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"lamplighter/internal/suit"
)

// maxFirmware bounds a firmware file that is read, in bytes.
const maxFirmware = 256 << 20

type firmwareKeygenCmd struct {
	Out   string `required:"" short:"o" type:"path" placeholder:"FILE" help:"File for the private key; the public key goes beside it, with .pub at its end. Neither may exist."`
	Curve string `enum:"ed25519,p256" default:"ed25519" help:"Kind of key: ed25519 or p256."`
}

// Help is what `lamplighter firmware keygen --help` adds.
func (firmwareKeygenCmd) Help() string {
	return "Keep the private key off the net, better in a token. Devices get the public key in the factory: what it signs, they run."
}

func (c firmwareKeygenCmd) Run() error { return c.run(os.Stdout) }

func (c firmwareKeygenCmd) run(out io.Writer) error {
	private, public, key, err := drawKey(c.Curve)
	if err != nil {
		return err
	}
	beside := strings.TrimSuffix(c.Out, ".pem") + ".pub"
	if _, err := os.Lstat(beside); err == nil {
		return fmt.Errorf("%s exists already", beside)
	}
	if err := writeFresh(c.Out, private, 0o600); err != nil {
		return err
	}
	if err := writeFresh(beside, public, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(out, "Private key: %s\nPublic key:  %s\nKey id:      %x\n", c.Out, beside, suit.KeyID(key))
	return nil
}

type firmwareSignCmd struct {
	Image    string `arg:"" type:"existingfile" help:"Firmware image."`
	Out      string `required:"" short:"o" type:"path" placeholder:"FILE" help:"Firmware file to write, such as lamp-2.4.0.suit."`
	Sequence uint64 `required:"" help:"Sequence number; devices take only what is above what they have."`
	Vendor   string `placeholder:"DOMAIN" help:"Vendor's domain name, such as example.com."`
	Class    string `placeholder:"NAME" help:"Class of the devices, such as the model's name."`
	VendorID string `placeholder:"UUID" help:"Vendor id, if it is not made of the domain name."`
	ClassID  string `placeholder:"UUID" help:"Class id, if it is not made of the vendor id and the class."`
	Device   string `placeholder:"UUID" help:"Only the device with this id. Default: all of the class."`
	Version  string `help:"Version, for people to read."`
	Name     string `help:"Vendor's name, for people to read."`
	Model    string `help:"Model's name, for people to read."`
	Text     string `help:"What the update is about, for people to read."`
	URI      string `name:"uri" help:"Where the image is; it is then left out of the file."`

	signerFlags
}

// Help is what `lamplighter firmware sign --help` adds.
func (firmwareSignCmd) Help() string { return signerHelp }

func (c firmwareSignCmd) Run(ctx context.Context) error { return c.run(ctx, os.Stdout) }

func (c firmwareSignCmd) run(ctx context.Context, out io.Writer) error {
	signer, err := c.signer(ctx)
	if err != nil {
		return err
	}
	p, err := c.params()
	if err != nil {
		return err
	}
	data, err := suit.Sign(p, signer)
	if err != nil {
		return err
	}
	if _, _, err := suit.Open(data, signer.Public()); err != nil {
		return fmt.Errorf("checking what was made: %w", err)
	}
	if err := replaceFile(c.Out, data, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %d bytes, signed by key %x\n", c.Out, len(data), suit.KeyID(signer.Public()))
	return nil
}

func (c firmwareSignCmd) params() (p suit.Params, err error) {
	p = suit.Params{
		Sequence: c.Sequence, Vendor: c.Vendor, Class: c.Class, URI: c.URI, Integrate: c.URI == "",
		Version: c.Version, VendorName: c.Name, Model: c.Model, Description: c.Text,
	}
	for _, id := range []struct {
		text string
		to   *suit.UUID
	}{{c.VendorID, &p.VendorID}, {c.ClassID, &p.ClassID}, {c.Device, &p.Device}} {
		if id.text == "" {
			continue
		}
		if *id.to, err = suit.ParseUUID(id.text); err != nil {
			return p, err
		}
	}
	p.Image, err = readBounded(c.Image, maxFirmware)
	return p, err
}

type firmwareInspectCmd struct {
	File string `arg:"" type:"existingfile" help:"Firmware file."`
}

// Help is what `lamplighter firmware inspect --help` adds.
func (firmwareInspectCmd) Help() string {
	return "It checks all digests in the file, and not who signed it: that is lamplighter firmware verify."
}

func (c firmwareInspectCmd) Run() error { return c.run(os.Stdout) }

func (c firmwareInspectCmd) run(out io.Writer) error {
	data, err := readBounded(c.File, maxFirmware)
	if err != nil {
		return err
	}
	e, err := suit.Parse(data)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	printEnvelope(out, filepath.Base(c.File), len(data), e)
	return nil
}

type firmwareVerifyCmd struct {
	File string   `arg:"" type:"existingfile" help:"Firmware file."`
	Key  []string `required:"" type:"existingfile" placeholder:"FILE" help:"Public key that may have signed it, PEM. May be given several times."`
}

func (c firmwareVerifyCmd) Run() error { return c.run(os.Stdout) }

func (c firmwareVerifyCmd) run(out io.Writer) error {
	data, err := readBounded(c.File, maxFirmware)
	if err != nil {
		return err
	}
	anchors, err := readAnchors(c.Key)
	if err != nil {
		return err
	}
	e, signer, err := suit.Open(data, anchors...)
	if err != nil {
		return fmt.Errorf("%s is not to be trusted: %w", c.File, err)
	}
	fmt.Fprintf(out, "%s is signed by the key in %s (key id %x).\n", c.File, c.Key[indexOf(anchors, signer)], suit.KeyID(signer))
	if len(e.Integrated) == 0 {
		fmt.Fprintln(out, "The image is not in the file, so it could not be checked.")
		return nil
	}
	fmt.Fprintln(out, "The image is the one that was signed.")
	return nil
}
