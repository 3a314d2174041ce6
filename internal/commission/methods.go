package commission

// Methods lists what a driver may call, for the generated TypeScript client.
// In the browser each is a function of window.lamplighter with the same name
// that returns a Promise; it rejects with an Error whose code is a [Problem]'s
// ID, and whose next is that Problem's Next.
var Methods = []Method{
	{"snapshot", nil, "Snapshot", "the whole state"},
	{"acceptInvitation", []Param{{"fragment", "string"}}, "Site", "takes what stands after # in an invitation link: signs in at the bridge, makes the site credential, enrols at the AS"},
	{"previewLabels", []Param{{"text", "string"}}, "LabelReport", "a dry run of importLabels"},
	{"importLabels", []Param{{"text", "string"}}, "LabelReport", "takes CSV, or one LL1: label a line"},
	{"discover", nil, "number", "multicasts GET /.well-known/core; how many answered"},
	{"claim", []Param{{"devices", "string[]"}}, "Job", "claims devices for this site"},
	{"join", []Param{{"group", "string"}, {"devices", "string[]"}}, "Job", "joins devices to a group; claims what is not claimed, the browser itself joins first"},
	{"setLight", []Param{{"group", "string"}, {"light", "Light"}}, "RollCall", "one multicast command; resolves when all have answered or the follow-up has ended"},
	{"rollCall", []Param{{"group", "string"}}, "RollCall", "one multicast GET, the silent ones asked again by unicast"},
	{"rollCallCSV", []Param{{"group", "string"}}, "string", "the last roll call as CSV"},
	{"blink", []Param{{"device", "string"}, {"seconds", "number"}}, "void", "blinks one device"},
	{"leave", []Param{{"group", "string"}, {"devices", "string[]"}}, "Job", "removes devices from a group"},
	{"release", []Param{{"devices", "string[]"}}, "Job", "gives devices up: they leave their groups and their labels open them again"},
	{"forget", []Param{{"devices", "string[]"}}, "void", "drops labels of devices that are not claimed"},
	{"updateCommissioners", nil, "Job", "takes the people of the Authorization Server for the list of who may manage the site's devices, and brings it to all of them; for administrators"},
	{"check", []Param{{"devices", "string[]"}}, "Job", "asks devices themselves how they stand in their groups"},
	{"needRenewal", []Param{{"group", "string"}}, "string[]", "the devices in a group that are to be renewed, as far as they were asked"},
	{"renew", []Param{{"group", "string"}, {"devices", "string[]"}}, "Job", "joins devices to a group anew, with this installer's rights"},
	{"enter", []Param{{"group", "string"}}, "void", "makes this browser a member of a group, also again after it was removed"},
	{"inspectFirmware", []Param{{"file", "string"}}, "FirmwareImage", "takes a firmware file in, given as base64: a SUIT envelope with its image; nothing is sent"},
	{"firmwareImages", nil, "FirmwareImage[]", "the images that are kept here, newest first"},
	{"planFirmware", []Param{{"group", "string"}, {"image", "string"}, {"options", "FirmwareOptions"}}, "FirmwarePlan", "asks each device of a group what an image, named by its digest, would be to it, and what a rollout would take; no byte of the image is sent"},
	{"startFirmware", []Param{{"group", "string"}, {"image", "string"}, {"options", "FirmwareOptions"}}, "Job", "begins a rollout; one at a time in a group"},
	{"pauseFirmware", []Param{{"job", "string"}}, "Job", "lets a rollout rest"},
	{"resumeFirmware", []Param{{"job", "string"}}, "Job", "lets a rollout go on"},
	{"advanceFirmware", []Param{{"job", "string"}}, "Job", "begins the next wave of a rollout that waits for a person"},
	{"firmware", []Param{{"job", "string"}}, "Rollout", "a rollout, whole"},
	{"firmwareReport", []Param{{"job", "string"}}, "string", "a rollout as CSV"},
	{"settingsSchemas", []Param{{"group", "string"}}, "SettingsSchema[]", "the schemas of a group's devices; those that are not kept here are read from a device"},
	{"readSettings", []Param{{"group", "string"}}, "SettingsDevice[]", "asks the devices of a group what they run"},
	{"keepSettings", []Param{{"group", "string"}, {"devices", "string[]"}}, "SettingsDevice[]", "takes what drifted devices run for confirmed"},
	{"settingsTemplates", nil, "SettingsTemplate[]", "the templates, by name"},
	{"saveTemplate", []Param{{"template", "SettingsTemplate"}}, "SettingsTemplate", "keeps a template; without an id it is a new one"},
	{"deleteTemplate", []Param{{"id", "string"}}, "void", "drops a template"},
	{"planSettings", []Param{{"change", "SettingsChange"}}, "SettingsRun", "reads what devices run and computes what each will; nothing else is sent"},
	{"checkSettings", []Param{{"change", "SettingsChange"}}, "SettingsRun", "has the devices check a change; they keep nothing of it"},
	{"applySettings", []Param{{"change", "SettingsChange"}}, "Job", "stages a change, has the devices switch at one time, and waits for a person; one at a time in a group"},
	{"confirmSettings", []Param{{"job", "string"}}, "SettingsRun", "has the devices keep what they try"},
	{"revertSettings", []Param{{"job", "string"}}, "SettingsRun", "takes a change back that is not confirmed"},
	{"undoSettings", []Param{{"job", "string"}}, "SettingsChange", "the change that takes a confirmed one back; for 30 days"},
	{"settingsRun", []Param{{"job", "string"}}, "SettingsRun", "a change, whole"},
	{"exportSettings", []Param{{"group", "string"}, {"format", "string"}}, "string", "what the devices run as \"senml\" (RFC 8428) or \"csv\""},
	{"importSettings", []Param{{"group", "string"}, {"text", "string"}}, "SettingsChange", "the change that a file is for the devices of one model; nothing is sent"},
	{"recallScene", []Param{{"group", "string"}, {"scene", "number"}, {"fade", "number"}}, "RollCall", "has a group show a scene that its devices have stored; fade in milliseconds, 0: as stored"},
	{"storeScene", []Param{{"group", "string"}, {"scene", "number"}, {"values", "Record<string, unknown>"}}, "SettingsChange", "the change that stores a scene at the lamps of a group, by the keys of its members; null deletes it"},
	{"linkSettings", []Param{{"devices", "string[]"}, {"group", "string"}, {"target", "SettingsLink"}}, "SettingsChange", "the change that links buttons of switches or sensors with a group; group is one that reaches the devices"},
	{"emergency", []Param{{"group", "string"}, {"on", "boolean"}}, "RollCall", "has all lamps of a group shine until it is ended, in front of all other commands; three identical messages, and each lamp is asked until it has answered"},
	{"emergencyTest", []Param{{"group", "string"}, {"kind", "string"}, {"devices", "string[]"}}, "Job", "has emergency lights test themselves (\"function\" or \"duration\") and keeps the results in the log; no devices: all of the group"},
	{"emergencyLog", []Param{{"group", "string"}}, "EmergencyEntry[]", "the log of emergency lights, newest first"},
	{"emergencyLogCSV", []Param{{"group", "string"}}, "string", "the log of emergency lights as CSV"},
	{"retryJob", []Param{{"job", "string"}}, "Job", "tries again what failed"},
	{"cancelJob", []Param{{"job", "string"}}, "Job", "stops a job; what is done stays done"},
	{"backup", []Param{{"passphrase", "string"}}, "string", "the site as an armored age file"},
	{"restore", []Param{{"file", "string"}, {"passphrase", "string"}}, "Site", "takes a backup on this browser"},
	{"groupConfig", []Param{{"group", "string"}}, "GroupConfig", "a group's settings at the Group Manager; for administrators of the group"},
	{"createGroup", []Param{{"name", "string"}, {"change", "GroupChange"}}, "GroupConfig", "makes a group; it is paused unless active is true"},
	{"changeGroup", []Param{{"group", "string"}, {"change", "GroupChange"}}, "GroupConfig", "changes what is given, and pauses or resumes a group; with etag only if nobody changed it meanwhile"},
	{"deleteGroup", []Param{{"group", "string"}}, "void", "pauses and deletes a group; its members forget its keys"},
	{"groupMembers", []Param{{"group", "string"}}, "GroupMember[]", "the members as the Group Manager has them"},
	{"previewEvict", []Param{{"group", "string"}, {"nodes", "string[]"}}, "RekeyPreview", "what evict would do"},
	{"evict", []Param{{"group", "string"}, {"nodes", "string[]"}}, "void", "ends memberships by their node names; the others get new keys"},
	{"previewKeys", []Param{{"group", "string"}}, "RekeyPreview", "what newKeys would do"},
	{"newKeys", []Param{{"group", "string"}}, "void", "gives a group new keys; the group's rekeying tells how far that is"},
	{"people", nil, "Person[]", "who has access to the site, was invited or was revoked; for administrators"},
	{"invite", []Param{{"name", "string"}, {"role", "PersonRole"}, {"days", "number"}}, "NewInvitation", "invites somebody; the invitation works once, for so many days (0: as the Authorization Server has it)"},
	{"revoke", []Param{{"person", "string"}}, "void", "ends a person's access: tokens, sessions, the bridge; a job takes the person off the devices' lists"},
	{"diagnostics", nil, "string", "a text for support, without secrets"},
	{"nonceLog", nil, "string[]", "what the nonce recorder saw; empty unless it was switched on"},
}

// Method is one call: its name in JavaScript, parameters and result as
// TypeScript types, and what it does.
type Method struct {
	Name   string
	Params []Param
	Result string
	Doc    string
}

// Param is a parameter of a [Method].
type Param struct{ Name, Type string }
