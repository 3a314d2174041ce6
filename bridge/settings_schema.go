package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"lamplighter/internal/settings"
	"lamplighter/internal/settings/source"
	"lamplighter/internal/suit"
)

// settingsSchemaCmd is for those who make devices.
type settingsSchemaCmd struct {
	Sign   settingsSignCmd   `cmd:"" help:"Make a signed schema of a source in YAML."`
	Show   settingsShowCmd   `cmd:"" help:"Say what is in a schema: signed, or a source in YAML."`
	Verify settingsVerifyCmd `cmd:"" help:"Say whether a schema is signed by a key."`
}

type settingsSignCmd struct {
	Source string `arg:"" type:"existingfile" help:"Source of the schema, YAML (docs/settings.md)."`
	Out    string `required:"" short:"o" type:"path" placeholder:"FILE" help:"Signed schema to write, such as lamp-dim-1.schema."`
	signerFlags
}

// Help is what `lamplighter settings schema sign --help` adds.
func (settingsSignCmd) Help() string {
	return "Devices and installers take schemas that are signed with the keys of firmware: lamplighter firmware keygen makes one.\n\n" + signerHelp
}

func (c settingsSignCmd) Run(ctx context.Context) error { return c.run(ctx, os.Stdout) }

func (c settingsSignCmd) run(ctx context.Context, out io.Writer) error {
	signer, err := c.signer(ctx)
	if err != nil {
		return err
	}
	text, err := readBounded(c.Source, maxSchemaFile)
	if err != nil {
		return err
	}
	s, err := source.Parse(text)
	if err != nil {
		return fmt.Errorf("%s:\n%w", c.Source, err)
	}
	doc, err := s.Sign(signer)
	if err != nil {
		return err
	}
	if _, _, err := settings.OpenSchema(doc, signer.Public()); err != nil {
		return fmt.Errorf("checking what was made: %w", err)
	}
	if err := replaceFile(c.Out, doc, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %s, version %d, %d settings, %d bytes, signed by key %x\n", c.Out, s.Model, s.Version, len(s.Defs), len(doc), suit.KeyID(signer.Public()))
	return nil
}

type settingsShowCmd struct {
	File     string `arg:"" type:"existingfile" help:"Signed schema, or its source."`
	Language string `default:"en" help:"Language of titles and help, such as de."`
}

// Help is what `lamplighter settings schema show --help` adds.
func (settingsShowCmd) Help() string {
	return "It does not check who signed the schema: that is lamplighter settings schema verify."
}

func (c settingsShowCmd) Run() error { return c.run(os.Stdout) }

func (c settingsShowCmd) run(out io.Writer) error {
	data, err := readBounded(c.File, maxSchemaFile)
	if err != nil {
		return err
	}
	name := printable(filepath.Base(c.File))
	if !isDocument(data) {
		s, err := source.Parse(data)
		if err != nil {
			return fmt.Errorf("%s:\n%w", c.File, err)
		}
		fmt.Fprintf(out, "%s: a source; signed it will have about %d bytes\n", name, len(s.Encode())+90)
		printSchema(out, s, c.Language)
		return nil
	}
	s, signature, err := settings.ReadSchema(data)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	key := "a key that is not named"
	if signature.KeyID != nil {
		key = fmt.Sprintf("key %x", signature.KeyID)
	}
	fmt.Fprintf(out, "%s: %d bytes, digest %x, signed with %s by %s (not checked here)\n", name, len(data), s.Ref(data).Digest, algorithmNames[signature.Algorithm], key)
	printSchema(out, s, c.Language)
	return nil
}

// isDocument says whether data is a signed schema: text does not begin like that.
func isDocument(data []byte) bool { return bytes.HasPrefix(data, []byte{0xd2, 0x84}) }

type settingsVerifyCmd struct {
	File string   `arg:"" type:"existingfile" help:"Signed schema."`
	Key  []string `required:"" type:"existingfile" placeholder:"FILE" help:"Public key that may have signed it, PEM. May be given several times."`
}

func (c settingsVerifyCmd) Run() error { return c.run(os.Stdout) }

func (c settingsVerifyCmd) run(out io.Writer) error {
	data, err := readBounded(c.File, maxSchemaFile)
	if err != nil {
		return err
	}
	anchors, err := readAnchors(c.Key)
	if err != nil {
		return err
	}
	s, signer, err := settings.OpenSchema(data, anchors...)
	if err != nil {
		return fmt.Errorf("%s is not to be trusted: %w", c.File, err)
	}
	fmt.Fprintf(out, "%s is signed by the key in %s (key id %x).\n", c.File, c.Key[indexOf(anchors, signer)], suit.KeyID(signer))
	fmt.Fprintf(out, "It is version %d of the schema of %s.\n", s.Version, s.Model)
	return nil
}

// maxSchemaFile bounds a schema or its source, in bytes.
const maxSchemaFile = 1 << 20

// readBounded reads a file of at most so many bytes.
func readBounded(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s is larger than %d MiB", path, most>>20)
	}
	return data, err
}
