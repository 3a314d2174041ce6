package commission

import (
	"context"
	"errors"
	"fmt"

	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/join"
	"lamplighter/internal/oscore"
)

// Error is a [Problem] as an error. Neither its text nor what it wraps holds a
// secret.
type Error struct {
	Problem
	cause error
}

func (e *Error) Error() string {
	if e.Next == "" {
		return e.Text
	}
	return e.Text + " " + e.Next
}

// Unwrap gives the error below, nil when there is none.
func (e *Error) Unwrap() error { return e.cause }

// Is makes two errors with the same id equal to errors.Is.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.ID == e.ID
}

// because returns a copy of e with the error below.
func (e *Error) because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// problem makes an error that trying again does not mend.
func problem(id, text, next string) *Error {
	return &Error{Problem: Problem{ID: id, Text: text, Next: next}}
}

// passing makes an error that may be over soon.
func passing(id, text, next string) *Error {
	return &Error{Problem: Problem{ID: id, Text: text, Next: next, Retry: true}}
}

// Problems of the site and of calls.
var (
	errNoSite      = problem("no-site", "This browser manages no site yet.", "Open the invitation link that you were given.")
	errInvitation  = problem("bad-invitation", "The invitation link is not complete.", "Copy the whole link, with everything behind the # sign, or ask for a new one.")
	errUsed        = problem("invitation-used", "The Authorization Server does not know this invitation: it was used by another browser, has expired, or was revoked.", "Ask for a new invitation, or restore a backup of the site.")
	errWrongAS     = problem("wrong-as", "The Authorization Server is not the one that the invitation names.", "Do not go on. Ask who invited you for a new link.")
	errSignIn      = problem("sign-in-refused", "The bridge did not accept the invitation's access code.", "Ask for a new invitation.")
	errRevoked     = problem("access-revoked", "Your access to this site was revoked.", "If that was a mistake, ask for a new invitation.")
	errNoGroup     = problem("unknown-group", "You have no rights in a group of this name.", "Choose one of the groups that are listed, or ask for rights in it.")
	errNoDevice    = problem("unknown-device", "There is no device with this id in the list.", "Import its label first.")
	errNoJob       = problem("unknown-job", "There is no job with this id.", "Look at the list of jobs.")
	errPaused      = passing("group-paused", "The group is paused: its members send and obey nothing.", "Whoever administers it can let it go on.")
	errNoRollCall  = problem("no-roll-call", "There was no roll call in this group yet.", "Run one first.")
	errNobody      = problem("no-members", "No device has joined this group yet.", "Choose devices and join them to the group.")
	errNothing     = problem("nothing-chosen", "No device was chosen.", "Choose at least one device.")
	errClaimedKeep = problem("still-claimed", "A claimed device cannot be forgotten: its keys would be lost.", "Release it first.")
	errInJob       = passing("in-a-job", "A job has work to do on this device.", "Wait for its end or cancel it, then try again.")
	errNoBackup    = problem("no-backup", "Backups cannot be made here.", "Open the page in a browser that supports them.")
	errPassphrase  = problem("wrong-passphrase", "The backup does not open with this passphrase.", "Check the passphrase and the file.")
	errShort       = problem("short-passphrase", "The passphrase is too short.", "Take at least 8 characters.")
	errBackup      = problem("bad-backup", "The file is no backup of a site.", "Choose the file that ends in .age and was saved by this program.")
	errTooMany     = problem("too-many-people", "Devices list at most 16 people who may manage them.", "Give some of them another role.")

	errNothingPending = problem("nothing-pending", "All devices have the present list of commissioners.", "")

	errCanceled = problem("canceled", "This was canceled.", "")
	errStorage  = problem("storage-failed", "The browser could not save what was done.", "Free some space, reload the page and try again.")
)

// Problems of the way and of the servers.
var (
	errLink      = passing("link-down", "The bridge is not reachable.", "Work goes on by itself when it is back. Check the network.")
	errASDown    = passing("as-down", "The Authorization Server does not answer.", "Check that it runs, then try again.")
	errGMDown    = passing("gm-down", "The Group Manager does not answer.", "Check that it runs, then try again.")
	errASNoTrust = problem("as-unverified", "What answers in place of the Authorization Server does not know this site.", "The site's rights may have been revoked. Ask for a new invitation.")
	errGMNoTrust = passing("gm-unverified", "The Group Manager's answer could not be verified.", "Try again. If it stays so, check that the address of the Group Manager is right.")
	errToken     = passing("token-expired", "The token for the Group Manager is no longer valid.", "Try again: a new one is fetched.")
	errBusy      = passing("bridge-busy", "The bridge has too much to do at the moment.", "Try again in a moment.")
	errTarget    = problem("target-refused", "The bridge does not forward to this address.", "Allow the device's network and port at the bridge.")
)

// Problems of one device.
var (
	errNoLabel    = problem("no-label", "The device answered, but its label is not known.", "Import its label.")
	errNotFound   = passing("device-not-found", "The device did not answer a search.", "Check that it has power and is in this network, then try again.")
	errSilent     = passing("device-silent", "The device does not answer.", "Check that it has power, then try again.")
	errSecret     = problem("wrong-label-secret", "The device does not accept the secret of this label.", "Check that the label belongs to this device and import it again.")
	errOther      = problem("wrong-device", "Another device answers at this address.", "Run a search to find the device's present address, then try again.")
	errTaken      = problem("claimed-by-other", "The device belongs to another site.", "Its owner can release it, or reset it at the device itself.")
	errMismatch   = problem("credential-mismatch", "The device's key is not the one on its label.", "Do not use it. Check that the label belongs to this device.")
	errDeviceKey  = problem("device-algorithms", "The group uses keys of a kind that this device does not have.", "Choose a group of the device's kind of keys.")
	errForeign    = problem("foreign-device", "The device is registered to another installer at the Authorization Server.", "Ask that installer to release it.")
	errUnknown    = passing("device-unregistered", "The Authorization Server does not know this device.", "Try again: it is registered anew.")
	errOtherKey   = problem("registered-otherwise", "The Authorization Server has this device with another key.", "Release the device, then claim it again.")
	errNotListed  = problem("not-on-list", "The device does not list this browser among those who may manage it.", "Whoever owns it can bring it the present list of commissioners.")
	errNotClaimed = problem("not-claimed", "The device is not claimed by this site.", "Claim it first.")
	errLostOwner  = passing("owner-unknown", "The device does not accept this site's key any more: it was reset, or it has another owner now.", "Try again: it is claimed anew if it is free.")
	errDisowned   = problem("owner-refused", "The device does not accept this site's key any more, and its label does not open it: it has another owner, or somebody between answers in its place.", "If it was given away, forget it. If not, look for what interferes, and try again.")
	errRole       = problem("role-refused", "The Group Manager does not admit this device with its present rights.", "Ask for rights in this group.")
	errMute       = problem("may-not-send", "The device is in the group but may not send there: the rights let devices of its kind answer only.", "Ask an admin to allow devices of this model to send in the group, then take the device out and join it again.")
	errRejoin     = passing("join-unfinished", "The device did not take the keys that were obtained for it.", "Try again: it is joined anew.")
	errNoKID      = problem("not-in-group", "The device is in no list of this group's members.", "Join it to the group.")
)

// refused is a device's own no.
func refused(re *coap.ResponseError) *Error {
	text := "The device refused"
	if re.Diagnostic != "" {
		text += ": " + re.Diagnostic
	}
	p := problem("device-refused", text+" ("+coap.CodeString(re.Code)+").", "Look at the device; then try again.").because(re)
	p.Retry = coap.Class(re.Code) == 5
	return p
}

// peer says who an exchange was with.
type peer uint8

const (
	atDevice peer = iota
	atAS
	atGM
)

// peerError is an error of an exchange with one peer.
type peerError struct {
	peer  peer
	doing string
	err   error
}

func (e *peerError) Error() string { return e.doing + ": " + e.err.Error() }
func (e *peerError) Unwrap() error { return e.err }

// with says whom an error came from and during what; nil stays nil.
func with(p peer, doing string, err error) error {
	if err == nil {
		return nil
	}
	return &peerError{p, doing, err}
}

// asProblem turns every error into one that a person reads.
func asProblem(err error) *Error {
	var known *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	case errors.Is(err, errStore):
		return errStorage.because(err)
	case errors.Is(err, coap.ErrRevoked):
		return errRevoked.because(err)
	case errors.Is(err, coap.ErrLink):
		return errLink.because(err)
	case errors.Is(err, coap.ErrBusy):
		return errBusy.because(err)
	case errors.Is(err, errNotForwarded):
		return errTarget.because(err)
	case errors.Is(err, context.Canceled):
		return errCanceled.because(err)
	}
	var pe *peerError
	if errors.As(err, &pe) {
		return fromPeer(pe.peer, err)
	}
	return passing("internal", fmt.Sprintf("Something unexpected happened (%v).", err), "Try again, and send the diagnostics if it stays so.").because(err)
}

func fromPeer(p peer, err error) *Error {
	if silent(err) {
		return [...]*Error{errSilent, errASDown, errGMDown}[p].because(err)
	}
	switch p {
	case atAS:
		return fromAS(err)
	case atGM:
		return fromGM(err)
	}
	var re *coap.ResponseError
	switch {
	case unknownContext(err):
		return errLostOwner.because(err)
	case errors.As(err, &re):
		return refused(re)
	}
	return passing("device-garbled", "The device's answer could not be understood.", "Try again.").because(err)
}

func fromAS(err error) *Error {
	var as *join.ASError
	if errors.As(err, &as) {
		switch as.Number {
		case ace.ErrorUnauthorizedClient:
			return errForeign.because(err)
		case ace.ErrorInvalidRequest:
			return errUnknown.because(err)
		case ace.ErrorInvalidScope:
			return errNoGroup.because(err)
		case ace.ErrorInvalidClient:
			return errASNoTrust.because(err)
		}
		return problem("as-refused", "The Authorization Server refused ("+as.Error()+").", "Ask who runs it.").because(err)
	}
	var re *coap.ResponseError
	if !unknownContext(err) && errors.As(err, &re) {
		p := problem("as-refused", "The Authorization Server refused ("+re.Error()+").", "Ask who runs it.").because(err)
		p.Retry = coap.Class(re.Code) == 5
		return p
	}
	return errASNoTrust.because(err)
}

func fromGM(err error) *Error {
	var gm *join.GMError
	var challenge *join.ChallengeError
	var re *coap.ResponseError
	switch {
	case errors.As(err, &challenge):
		return passing("gm-challenge", "The Group Manager asked for a new proof.", "Try again.").because(err)
	case errors.As(err, &gm) && gm.Code == coap.Forbidden:
		return errRole.because(err)
	case errors.Is(err, join.ErrNoToken):
		return errToken.because(err)
	case errors.As(err, &gm):
		text := "The Group Manager refused"
		if gm.HasID {
			text += ": " + gm.ID.String()
		}
		p := problem("gm-refused", text+" ("+coap.CodeString(gm.Code)+").", "Ask who runs it.").because(err)
		p.Retry = coap.Class(gm.Code) == 5
		return p
	case unknownContext(err), errors.As(err, &re) && re.Code == coap.Unauthorized:
		return errToken.because(err)
	case errors.As(err, &re):
		p := problem("gm-refused", "The Group Manager refused ("+re.Error()+").", "Ask who runs it.").because(err)
		p.Retry = coap.Class(re.Code) == 5
		return p
	case errors.Is(err, join.ErrAlgorithm):
		return problem("gm-algorithms", "The group uses algorithms that this version does not have.", "Update this program.").because(err)
	}
	return errGMNoTrust.because(err)
}

// unknownContext reports whether the other side does not know the association,
// or the secret is another: its OSCORE layer answers without protection, which
// proves nothing.
func unknownContext(err error) bool {
	var bare *oscore.UnprotectedError
	if errors.As(err, &bare) {
		return coap.Class(bare.Response.Code) == 4
	}
	return errors.Is(err, oscore.ErrVerify) || errors.Is(err, coap.ErrNoContext)
}
