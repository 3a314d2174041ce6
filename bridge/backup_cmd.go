package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"lamplighter/internal/backup"
)

type (
	asBackupCmd  struct{ backupCmd }
	gmBackupCmd  struct{ backupCmd }
	asRestoreCmd struct{ restoreCmd }
	gmRestoreCmd struct{ restoreCmd }
)

func (c asBackupCmd) Run(ctx context.Context) error  { return c.run(ctx, asName) }
func (c gmBackupCmd) Run(ctx context.Context) error  { return c.run(ctx, gmName) }
func (c asRestoreCmd) Run(ctx context.Context) error { return c.run(ctx, asName) }
func (c gmRestoreCmd) Run(ctx context.Context) error { return c.run(ctx, gmName) }

type backupCmd struct {
	File       string   `arg:"" type:"path" help:"File to write; it must not exist."`
	Data       string   `type:"path" required:"" help:"Folder of the server's state."`
	Recipients []string `name:"recipient" placeholder:"age1…" help:"Encrypt for these age recipients; their identity opens the file. Default: a passphrase."`
	Passphrase string   `name:"passphrase-file" type:"existingfile" placeholder:"FILE" help:"Read the passphrase from this file instead of asking for it."`
}

// Help is what `lamplighter gm backup --help` adds.
func (backupCmd) Help() string {
	return "Writes the whole state of the server, keys included, encrypted as an age file. The server may run meanwhile."
}

func (c backupCmd) run(ctx context.Context, role string) error {
	lock := backup.Lock{Recipients: c.Recipients}
	if len(c.Recipients) == 0 {
		var err error
		if lock.Passphrase, err = passphrase(c.Passphrase, true); err != nil {
			return err
		}
	}
	from, err := openBackup(ctx, c.Data, role)
	if err != nil {
		return err
	}
	defer from.Close()
	records, err := saveBackup(c.File, from, lock)
	if err != nil {
		return fmt.Errorf("making the backup: %w", err)
	}
	fmt.Printf("Backup of %d records in %s\n", records, c.File)
	return nil
}

type restoreCmd struct {
	File       string `arg:"" type:"existingfile" help:"Backup to restore."`
	Data       string `type:"path" required:"" help:"Folder for the state; the server must have none in it."`
	Identity   string `type:"existingfile" placeholder:"FILE" help:"age identity that opens the backup. Default: a passphrase."`
	Passphrase string `name:"passphrase-file" type:"existingfile" placeholder:"FILE" help:"Read the passphrase from this file instead of asking for it."`
}

// Help is what `lamplighter gm restore --help` adds.
func (restoreCmd) Help() string {
	return "Never run the server that the backup is of beside the restored one: both would give out the same."
}

func (c restoreCmd) run(ctx context.Context, role string) error {
	var key backup.Key
	if c.Identity != "" {
		text, err := os.ReadFile(c.Identity)
		if err != nil {
			return err
		}
		key.Identities = string(text)
	} else {
		var err error
		if key.Passphrase, err = passphrase(c.Passphrase, false); err != nil {
			return err
		}
	}
	file, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer file.Close()
	plain, err := key.Reader(file)
	if err != nil {
		return err
	}
	head, err := restore(ctx, plain, c.Data, role, time.Now())
	if err != nil {
		return fmt.Errorf("restoring: %w", err)
	}
	fmt.Printf("Restored the state of %s into %s.\n%s", time.Unix(head.Created, 0).Format("2006-01-02 15:04:05"), c.Data, afterRestore(role))
	return nil
}

// afterRestore says what a backup cannot know.
func afterRestore(role string) string {
	if role == asName {
		return "Revoke again who was revoked since, and make open invitations anew. Tokens that were issued since cannot be revoked any more.\n"
	}
	return "All groups have new keys. Members join again when they next ask; devices that joined since need a commissioner.\n"
}

var errPassphrase = errors.New("a passphrase is needed: run it in a terminal, or give --passphrase-file")

// passphrase reads the first line of a file, or asks at the terminal; twice for a
// new one.
func passphrase(file string, fresh bool) (string, error) {
	if file != "" {
		text, err := os.ReadFile(file)
		line, _, _ := strings.Cut(string(text), "\n")
		if line = strings.TrimSuffix(line, "\r"); err == nil && line == "" {
			err = fmt.Errorf("%s holds no passphrase", file)
		}
		return line, err
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return "", errPassphrase
	}
	first, err := ask("Passphrase of the backup: ")
	if err != nil || !fresh {
		return first, err
	}
	again, err := ask("The same again: ")
	if err == nil && again != first {
		err = errors.New("the two are not the same")
	}
	return first, err
}

func ask(prompt string) (string, error) {
	fmt.Fprint(os.Stderr, prompt)
	text, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(os.Stderr)
	if err == nil && len(text) == 0 {
		err = errPassphrase
	}
	return string(text), err
}
