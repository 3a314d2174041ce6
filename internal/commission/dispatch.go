package commission

import (
	"context"
	"encoding/json"
)

var (
	errMethod   = problem("unknown-method", "The engine has no such method.", "Reload the page.")
	errArgument = problem("bad-argument", "An argument has the wrong type or is missing.", "Look at the method's description.")
)

// Call runs one of [Methods]; args is a JSON array. The result is encoded as JSON
// by the caller; nil stands for "void". Every error is an [*Error].
func (e *Engine) Call(ctx context.Context, method string, args json.RawMessage) (any, error) {
	run := calls[method]
	if run == nil {
		return nil, errMethod
	}
	a := &arguments{}
	if len(args) > 0 {
		if err := json.Unmarshal(args, &a.list); err != nil {
			return nil, errArgument
		}
	}
	result, err := run(ctx, e, a)
	if err != nil {
		return nil, asProblem(err)
	}
	return result, nil
}

// arguments are taken one after the other; a bad one is remembered.
type arguments struct {
	list []json.RawMessage
	bad  bool
}

// next takes an argument.
func next[T any](a *arguments) (v T) {
	if len(a.list) == 0 || json.Unmarshal(a.list[0], &v) != nil {
		a.bad = true
		return v
	}
	a.list = a.list[1:]
	return v
}

type runner func(ctx context.Context, e *Engine, a *arguments) (any, error)

// call0 to call3 make a runner of a method with that many arguments, do1 and do2
// of one without a result.
func call0[R any](run func(*Engine, context.Context) (R, error)) runner {
	return func(ctx context.Context, e *Engine, _ *arguments) (any, error) { return run(e, ctx) }
}

func call1[A, R any](run func(*Engine, context.Context, A) (R, error)) runner {
	return func(ctx context.Context, e *Engine, args *arguments) (any, error) {
		a := next[A](args)
		if args.bad {
			return nil, errArgument
		}
		return run(e, ctx, a)
	}
}

func call2[A, B, R any](run func(*Engine, context.Context, A, B) (R, error)) runner {
	return func(ctx context.Context, e *Engine, args *arguments) (any, error) {
		a, b := next[A](args), next[B](args)
		if args.bad {
			return nil, errArgument
		}
		return run(e, ctx, a, b)
	}
}

func call3[A, B, C, R any](run func(*Engine, context.Context, A, B, C) (R, error)) runner {
	return func(ctx context.Context, e *Engine, args *arguments) (any, error) {
		a, b, c := next[A](args), next[B](args), next[C](args)
		if args.bad {
			return nil, errArgument
		}
		return run(e, ctx, a, b, c)
	}
}

func do1[A any](run func(*Engine, context.Context, A) error) runner {
	return call1(func(e *Engine, ctx context.Context, a A) (any, error) { return nil, run(e, ctx, a) })
}

func do2[A, B any](run func(*Engine, context.Context, A, B) error) runner {
	return call2(func(e *Engine, ctx context.Context, a A, b B) (any, error) { return nil, run(e, ctx, a, b) })
}

// get0 is a runner of a method that cannot fail.
func get0[R any](run func(*Engine) R) runner {
	return func(_ context.Context, e *Engine, _ *arguments) (any, error) { return run(e), nil }
}

// calls has an entry for each of [Methods].
var calls = map[string]runner{
	"snapshot":         get0((*Engine).Snapshot),
	"acceptInvitation": call1((*Engine).AcceptInvitation),
	"previewLabels":    call1((*Engine).PreviewLabels),
	"importLabels":     call1((*Engine).ImportLabels),
	"discover":         call0((*Engine).Discover),
	"claim":            call1((*Engine).Claim),
	"join":             call2((*Engine).Join),
	"setLight":         call2((*Engine).SetLight),
	"rollCall":         call1((*Engine).RollCall),
	"rollCallCSV":      call1((*Engine).RollCallCSV),
	"blink":            do2((*Engine).Blink),
	"leave":            call2((*Engine).Leave),
	"release":          call1((*Engine).Release),
	"forget":           do1((*Engine).Forget),
	"enter":            do1((*Engine).Enter),
	"check":            call1((*Engine).Check),
	"needRenewal":      call1((*Engine).NeedRenewal),
	"renew":            call2((*Engine).Renew),

	"updateCommissioners": call0((*Engine).UpdateCommissioners),
	"retryJob":            call1((*Engine).RetryJob),
	"cancelJob":           call1((*Engine).CancelJob),
	"backup":              call1((*Engine).Backup),
	"restore":             call2((*Engine).Restore),
	"diagnostics":         get0((*Engine).Diagnostics),
	"nonceLog":            get0((*Engine).NonceLog),
	"groupConfig":         call1((*Engine).GroupConfig),
	"createGroup":         call2((*Engine).CreateGroup),
	"changeGroup":         call2((*Engine).ChangeGroup),
	"deleteGroup":         do1((*Engine).DeleteGroup),
	"groupMembers":        call1((*Engine).GroupMembers),
	"previewEvict":        call2((*Engine).PreviewEvict),
	"evict":               do2((*Engine).Evict),
	"previewKeys":         call1((*Engine).PreviewKeys),
	"newKeys":             do1((*Engine).NewKeys),
	"people":              call0((*Engine).People),
	"invite":              call3((*Engine).Invite),
	"revoke":              do1((*Engine).Revoke),
	"inspectFirmware":     call1((*Engine).InspectFirmware),
	"firmwareImages":      call0((*Engine).FirmwareImages),
	"planFirmware":        call3((*Engine).PlanFirmware),
	"startFirmware":       call3((*Engine).StartFirmware),
	"pauseFirmware":       call1((*Engine).PauseFirmware),
	"resumeFirmware":      call1((*Engine).ResumeFirmware),
	"advanceFirmware":     call1((*Engine).AdvanceFirmware),
	"firmware":            call1((*Engine).Firmware),
	"firmwareReport":      call1((*Engine).FirmwareReport),
	"settingsSchemas":     call1((*Engine).SettingsSchemas),
	"readSettings":        call1((*Engine).ReadSettings),
	"keepSettings":        call2((*Engine).KeepSettings),
	"settingsTemplates":   call0((*Engine).SettingsTemplates),
	"saveTemplate":        call1((*Engine).SaveTemplate),
	"deleteTemplate":      do1((*Engine).DeleteTemplate),
	"planSettings":        call1((*Engine).PlanSettings),
	"checkSettings":       call1((*Engine).CheckSettings),
	"applySettings":       call1((*Engine).ApplySettings),
	"confirmSettings":     call1((*Engine).ConfirmSettings),
	"revertSettings":      call1((*Engine).RevertSettings),
	"undoSettings":        call1((*Engine).UndoSettings),
	"settingsRun":         call1((*Engine).SettingsRun),
	"exportSettings":      call2((*Engine).ExportSettings),
	"importSettings":      call2((*Engine).ImportSettings),
	"recallScene":         call3((*Engine).RecallScene),
	"storeScene":          call3((*Engine).StoreScene),
	"linkSettings":        call3((*Engine).LinkSettings),
	"emergency":           call2((*Engine).Emergency),
	"emergencyTest":       call3((*Engine).EmergencyTest),
	"emergencyLog":        call1((*Engine).EmergencyLog),
	"emergencyLogCSV":     call1((*Engine).EmergencyLogCSV),
}
