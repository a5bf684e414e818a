package main

import (
	"net"

	"github.com/moby/buildkit/client/llb"
	"github.com/pkg/errors"
)

type runNode struct {
	node
	On             int         `json:"on"`
	Args           []string    `json:"args"`
	Shlex          *string     `json:"shlex"`
	Env            [][2]string `json:"env"`
	Dir            *string     `json:"dir"`
	User           *string     `json:"user"`
	Hostname       *string     `json:"hostname"`
	Network        *string     `json:"network"`
	Security       *string     `json:"security"`
	ExtraHosts     [][2]string `json:"extra_hosts"`
	Ulimits        []ulimit    `json:"ulimits"`
	CgroupParent   *string     `json:"cgroup_parent"`
	ValidExitCodes *[]int      `json:"valid_exit_codes"`
	ReadonlyRoot   bool        `json:"readonly_root"`
	Proxy          *proxy      `json:"proxy"`
	Mounts         []mount     `json:"mounts"`
	Secrets        []secret    `json:"secrets"`
	SSH            []ssh       `json:"ssh"`
	Devices        []device    `json:"devices"`
}

type ulimit struct {
	Name       string
	Soft, Hard int64
}

func (u *ulimit) UnmarshalJSON(data []byte) error { return tuple(data, &u.Name, &u.Soft, &u.Hard) }

type proxy struct {
	HTTP  string `json:"http"`
	HTTPS string `json:"https"`
	FTP   string `json:"ftp"`
	No    string `json:"no"`
	All   string `json:"all"`
}

type device struct {
	Name     string
	Optional bool
}

func (d *device) UnmarshalJSON(data []byte) error { return tuple(data, &d.Name, &d.Optional) }

type fileOpt struct{ UID, GID, Mode int }

func (f *fileOpt) UnmarshalJSON(data []byte) error { return tuple(data, &f.UID, &f.GID, &f.Mode) }

type secret struct {
	Dest     *string  `json:"dest"`
	ID       *string  `json:"id"`
	Env      *bool    `json:"env"`
	EnvName  *string  `json:"env_name"`
	File     *fileOpt `json:"file"`
	Optional bool     `json:"optional"`
}

func (s secret) option() (llb.RunOption, error) {
	var o []llb.SecretOption
	if s.File != nil {
		o = append(o, llb.SecretFileOpt(s.File.UID, s.File.GID, s.File.Mode))
	}
	if s.Env != nil {
		o = append(o, llb.SecretAsEnv(*s.Env))
	}
	if s.EnvName != nil {
		o = append(o, llb.SecretAsEnvName(*s.EnvName))
	}
	if s.Optional {
		o = append(o, llb.SecretOptional)
	}
	if s.Dest == nil {
		if s.ID == nil {
			return nil, errors.New("a secret without destination needs an id")
		}
		return llb.AddSecretWithDest(*s.ID, nil, o...), nil
	}
	if s.ID != nil {
		o = append(o, llb.SecretID(*s.ID))
	}
	return llb.AddSecret(*s.Dest, o...), nil
}

type ssh struct {
	ID       string  `json:"id"`
	Target   string  `json:"target"`
	Opt      *sshOpt `json:"opt"`
	Optional bool    `json:"optional"`
}

type sshOpt struct {
	Target         string
	UID, GID, Mode int
}

func (s *sshOpt) UnmarshalJSON(data []byte) error {
	return tuple(data, &s.Target, &s.UID, &s.GID, &s.Mode)
}

func (s ssh) option() llb.RunOption {
	var o []llb.SSHOption
	if s.ID != "" {
		o = append(o, llb.SSHID(s.ID))
	}
	if s.Target != "" {
		o = append(o, llb.SSHSocketTarget(s.Target))
	}
	if s.Opt != nil {
		o = append(o, llb.SSHSocketOpt(s.Opt.Target, s.Opt.UID, s.Opt.GID, s.Opt.Mode))
	}
	if s.Optional {
		o = append(o, llb.SSHOptional)
	}
	return llb.AddSSHSocket(o...)
}

type mount struct {
	Target       string  `json:"target"`
	Source       *int    `json:"source"`
	Readonly     bool    `json:"readonly"`
	Selector     string  `json:"selector"`
	NoOutput     bool    `json:"no_output"`
	ContentCache string  `json:"content_cache"`
	Cache        *string `json:"cache"`
	Sharing      string  `json:"sharing"`
	Tmpfs        bool    `json:"tmpfs"`
	Size         int64   `json:"size"`
	Late         bool    `json:"late"`
}

var contentCaches = map[string]llb.MountContentCache{
	"": llb.MountContentCacheDefault, "on": llb.MountContentCacheOn, "off": llb.MountContentCacheOff,
}

var sharings = map[string]llb.CacheMountSharingMode{
	"": llb.CacheMountShared, "shared": llb.CacheMountShared, "private": llb.CacheMountPrivate, "locked": llb.CacheMountLocked,
}

func (m mount) options() (o []llb.MountOption, err error) {
	if m.Readonly {
		o = append(o, llb.Readonly)
	}
	if m.Selector != "" {
		o = append(o, llb.SourcePath(m.Selector))
	}
	if m.NoOutput {
		o = append(o, llb.ForceNoOutput)
	}
	content, err := mode(contentCaches, m.ContentCache)
	if err != nil {
		return nil, err
	}
	if m.ContentCache != "" {
		o = append(o, llb.ContentCache(content))
	}
	if m.Cache != nil {
		sharing, err := mode(sharings, m.Sharing)
		if err != nil {
			return nil, err
		}
		o = append(o, llb.AsPersistentCacheDir(*m.Cache, sharing))
	}
	if m.Tmpfs {
		var t []llb.TmpfsOption
		if m.Size != 0 {
			t = append(t, llb.TmpfsSize(m.Size))
		}
		o = append(o, llb.Tmpfs(t...))
	}
	return o, nil
}

func (m mount) source(b *builder) (llb.State, error) {
	if m.Source == nil {
		return llb.Scratch(), nil
	}
	return b.state(*m.Source)
}

// values are the options that are state options too; they hold for the op alone (L22).
func (n *runNode) values() (o []llb.RunOption, err error) {
	add := func(kind, name string, value *string) {
		if value == nil || err != nil {
			return
		}
		var option llb.StateOption
		option, err = valueOption(kind, name, *value)
		o = append(o, option)
	}
	for _, e := range n.Env {
		add("env", e[0], &e[1])
	}
	add("dir", "", n.Dir)
	add("user", "", n.User)
	add("network", "", n.Network)
	add("security", "", n.Security)
	add("hostname", "", n.Hostname)
	if err != nil {
		return nil, err
	}
	for _, h := range n.ExtraHosts {
		o = append(o, llb.AddExtraHost(h[0], net.ParseIP(h[1])))
	}
	for _, u := range n.Ulimits {
		o = append(o, llb.AddUlimit(llb.UlimitName(u.Name), u.Soft, u.Hard))
	}
	if n.CgroupParent != nil {
		o = append(o, llb.WithCgroupParent(*n.CgroupParent))
	}
	if n.ValidExitCodes != nil {
		// Without codes the list is nil, which is none.
		o = append(o, llb.ValidExitCodes(append([]int(nil), *n.ValidExitCodes...)...))
	}
	return o, nil
}

func (n *runNode) options(b *builder) ([]llb.RunOption, error) {
	o, err := n.values()
	if err != nil {
		return nil, err
	}
	if n.Args != nil {
		o = append(o, llb.Args(n.Args))
	}
	if n.Shlex != nil {
		o = append(o, llb.Shlex(*n.Shlex))
	}
	if n.ReadonlyRoot {
		o = append(o, llb.ReadonlyRootFS())
	}
	if p := n.Proxy; p != nil {
		o = append(o, llb.WithProxy(llb.ProxyEnv{
			HTTPProxy: p.HTTP, HTTPSProxy: p.HTTPS, FTPProxy: p.FTP, NoProxy: p.No, AllProxy: p.All,
		}))
	}
	for _, s := range n.Secrets {
		option, err := s.option()
		if err != nil {
			return nil, err
		}
		o = append(o, option)
	}
	for _, s := range n.SSH {
		o = append(o, s.option())
	}
	for _, d := range n.Devices {
		c := []llb.CDIDeviceOption{llb.CDIDeviceName(d.Name)}
		if d.Optional {
			c = append(c, llb.CDIDeviceOptional)
		}
		o = append(o, llb.AddCDIDevice(c...))
	}
	for _, m := range n.Mounts {
		if m.Late {
			continue
		}
		st, err := m.source(b)
		if err != nil {
			return nil, err
		}
		mo, err := m.options()
		if err != nil {
			return nil, err
		}
		o = append(o, llb.AddMount(m.Target, st, mo...))
	}
	return o, nil
}

func (n *runNode) make(b *builder, opts []llb.ConstraintsOpt) (llb.State, error) {
	st, err := b.state(n.On)
	if err != nil {
		return st, err
	}
	o, err := n.options(b)
	if err != nil {
		return st, err
	}
	r := &run{exec: st.Run(append(o, each[llb.RunOption](opts)...)...), mounts: map[string]llb.State{}}
	for _, m := range n.Mounts {
		src, err := m.source(b)
		if err != nil {
			return st, err
		}
		if !m.Late {
			r.mounts[m.Target] = src.WithOutput(r.exec.GetMount(m.Target).Output())
			continue
		}
		mo, err := m.options()
		if err != nil {
			return st, err
		}
		r.mounts[m.Target] = r.exec.AddMount(m.Target, src, mo...)
	}
	b.runs[len(b.states)] = r
	return r.exec.Root(), nil
}

type mountNode struct {
	node
	fresh  bool
	Of     int    `json:"of"`
	Target string `json:"target"`
}

func (n *mountNode) make(b *builder, _ []llb.ConstraintsOpt) (llb.State, error) {
	r, ok := b.runs[n.Of]
	if !ok {
		return llb.State{}, errors.Errorf("node %d is no run", n.Of)
	}
	if n.fresh || n.Target == "/" {
		return r.exec.GetMount(n.Target), nil
	}
	st, ok := r.mounts[n.Target]
	if !ok {
		return st, errors.Errorf("run %d has no mount %s", n.Of, n.Target)
	}
	return st, nil
}
