package commission

// The part of the schema that is about administration: groups at the Group
// Manager, their members and keys, and people. Like api.go it is the source of the
// page's types.

// Rights are what the person at this browser may do beyond commanding groups. The
// servers decide; these only say which controls make sense.
type Rights struct {
	Create bool `json:"create"` // make groups
	People bool `json:"people"` // invite and revoke
}

// GroupConfig is a group's configuration at the Group Manager.
type GroupConfig struct {
	Name          string   `json:"name"`
	Description   string   `json:"description"`
	Active        bool     `json:"active"`        // false: paused, nobody joins and nobody sends
	Mode          string   `json:"mode"`          // "both", "group" (signatures only), "pairwise"
	Signature     string   `json:"signature"`     // "EdDSA", "ES256"; empty without group mode
	CheckInterval int      `json:"checkInterval"` // how often members ask for newer keys, seconds
	KeysUntil     int64    `json:"keysUntil"`     // when the present keys end
	StaleSets     int      `json:"staleSets"`     // how many rekeyings a member may miss and still recover by little
	RekeyOnJoin   bool     `json:"rekeyOnJoin"`   // a new member cannot read what was said before
	RekeyPeriod   int      `json:"rekeyPeriod"`   // new keys every so many seconds; 0: only when they are due
	OneToMany     bool     `json:"oneToMany"`     // new keys go out by multicast
	Multicast     string   `json:"multicast"`     // "224.0.1.187:5683"
	AppGroups     []string `json:"appGroups"`
	ETag          string   `json:"etag"` // of what was read; a change of something else meanwhile is refused
}

// GroupChange is what a person changes of a configuration; what is missing stays.
type GroupChange struct {
	Description   *string `json:"description,omitempty"`
	Active        *bool   `json:"active,omitempty"`
	Mode          *string `json:"mode,omitempty"`      // at the creation only
	Signature     *string `json:"signature,omitempty"` // at the creation only
	CheckInterval *int    `json:"checkInterval,omitempty"`
	RekeyOnJoin   *bool   `json:"rekeyOnJoin,omitempty"`
	RekeyPeriod   *int    `json:"rekeyPeriod,omitempty"`
	OneToMany     *bool   `json:"oneToMany,omitempty"`
	Multicast     *string `json:"multicast,omitempty"`
	ETag          string  `json:"etag,omitempty"` // of the configuration that was shown
}

// GroupMember is a member as the Group Manager has it.
type GroupMember struct {
	Node     string   `json:"node"`   // its name at the Group Manager
	Device   string   `json:"device"` // id of a device of this site, empty otherwise
	Name     string   `json:"name"`   // for people
	SenderID string   `json:"senderId"`
	Roles    []string `json:"roles"` // "requester", "responder", "monitor"
	Obtainer string   `json:"obtainer"`
	Joined   int64    `json:"joined"`
	Epoch    int      `json:"epoch"`  // of the keys that it is known to have, -1: unknown
	Barred   bool     `json:"barred"` // gets no keys until somebody else renews its association
	You      bool     `json:"you"`    // this browser
}

// RekeyPreview is what an eviction or new keys would do; nothing is done yet.
type RekeyPreview struct {
	Stale     []string `json:"stale"`     // Sender IDs that become stale, hex
	Receive   int      `json:"receive"`   // how many members get the new keys
	Asking    int      `json:"asking"`    // how many of them find out by asking
	Barred    []string `json:"barred"`    // names of who gets none until it is renewed
	OneToMany bool     `json:"oneToMany"` // one message goes to many
	Messages  int      `json:"messages"`  // how many the Group Manager sends if none is lost
}

// Rekeying is how far the latest rekeying of a group is.
type Rekeying struct {
	Reason    string   `json:"reason"` // "leave", "eviction", "expiry", "revocation", "join", "period", "request", …
	Epoch     int      `json:"epoch"`
	Started   int64    `json:"started"`
	Ended     int64    `json:"ended"` // 0: running
	Total     int      `json:"total"`
	Told      int      `json:"told"`      // were told and have not confirmed it
	Confirmed int      `json:"confirmed"` // have the keys
	Failed    []string `json:"failed"`    // names of who could not be told: they ask when they are back
	Barred    int      `json:"barred"`
	Asking    int      `json:"asking"` // find out by asking
}

// PersonRole is what somebody may do in a site.
type PersonRole string

// Roles of people.
const (
	RoleAdmin      PersonRole = "admin"      // everything, people too
	RoleInstaller  PersonRole = "installer"  // makes groups, equips and commands them
	RoleMaintainer PersonRole = "maintainer" // commands groups and reads their configuration
	RoleViewer     PersonRole = "viewer"     // looks on
)

// Person is somebody with an invitation or an account.
type Person struct {
	ID      string     `json:"id"`
	Name    string     `json:"name"`
	Role    PersonRole `json:"role"`
	Since   int64      `json:"since"`
	Expires int64      `json:"expires"` // 0: never
	Pending bool       `json:"pending"` // invited, not here yet
	Revoked bool       `json:"revoked"`
	You     bool       `json:"you"`
	Listed  bool       `json:"listed"` // is on the site's list of who may manage its devices, or needs not be
	Left    []string   `json:"left"`   // revoked: devices whose list of commissioners still has this person
}

// NewInvitation is an invitation that was just made. It is shown once.
type NewInvitation struct {
	Fragment string `json:"fragment"` // what stands behind the page's address and a #
	Name     string `json:"name"`
	Expires  int64  `json:"expires"`
}
