using System.CommandLine;
using Slipway.Cli.BuildCaches;
using Slipway.Cli.Caches;
using Slipway.Cli.Caches.SigningKeys;
using Slipway.Cli.Certificates;
using Slipway.Cli.Contexts;
using Slipway.Cli.Doctor;
using Slipway.Cli.Events;
using Slipway.Cli.GoCache;
using Slipway.Cli.Jobs;
using Slipway.Cli.Keys;
using Slipway.Cli.Meta;
using Slipway.Cli.Orgs;
using Slipway.Cli.Orgs.Members;
using Slipway.Cli.Paths;
using Slipway.Cli.Push;
using Slipway.Cli.ServiceAccounts;
using Slipway.Cli.Sessions;
using Slipway.Cli.Shell;
using Slipway.Cli.SignIn;
using Slipway.Cli.Stores;
using Slipway.Cli.Users;

namespace Slipway.Cli;

/// <summary>First words of a command line, in the order of <c>--help</c>.</summary>
/// <param name="Build">Makes the command; only called when the word is on the command line, for the sake of start time.</param>
internal sealed record TopLevel(string Group, string Name, string Summary, Func<Command> Build);

/// <summary>The whole language of the program. A new verb is a class in its noun's folder and a line here.</summary>
internal static class CommandTree
{
    private const string Start = "Start here";
    private const string Caches = "Nix caches";
    private const string Builds = "Build caches";
    private const string Work = "Work queues";
    private const string People = "People and keys";
    private const string Records = "Records";
    private const string Here = "This program";

    public static IReadOnlyList<TopLevel> Nouns { get; } =
    [
        Of(Start, "up", "Start a server on this machine, with all it needs", s => new ServerCommand("up", s)),
        Of(Start, "login", "Sign in to a server and remember it as a context", _ => new Login()),
        Of(Start, "logout", "End the session and forget its token", _ => new Logout()),
        Of(Start, "whoami", "Show who you are to the server, and what you may do", _ => new ShowWhoAmI()),
        Of(Start, "doctor", "Check server, credential and nix, with a fix for each fault", _ => new RunDoctor()),
        Of(Caches, "cache", "Nix binary caches, and how to use them", s => new Noun(
            "cache", s, new CacheCreate(), new CacheList(), new CacheShow(), new CacheUpdate(), new CacheDelete(), new CacheUse(),
            new Noun("key", "Keys that sign a cache's paths", new SigningKeyList(), new SigningKeyRotate(), new SigningKeyRetire()))),
        Of(Caches, "push", "Push store paths and all they refer to", _ => new PushPaths()),
        Of(Caches, "path", "Store paths in a cache", s => new Noun("path", s, new PathList(), new PathShow(), new PathRemove())),
        Of(Caches, "store", "Places for blobs on the server", s => new Noun(
            "store", s, new StoreCreate(), new StoreList(), new StoreShow(), new StoreStatsShow(), new StoreScrubRun(), new StoreCompact(), new Fsck())),
        Of(Caches, "fsck", "Check stores; the same as store fsck", _ => new Fsck()),
        Of(Builds, "buildcache", "Remote caches for Bazel, ccache, turbo and others", s => new Noun(
            "buildcache", s, new BuildCacheCreate(), new BuildCacheList(), new BuildCacheShow(), new BuildCacheUpdate(), new BuildCacheDelete(), new BuildCacheUse(),
            new BuildCacheStatsShow(), new BuildCacheExplain())),
        Of(Builds, "blob", "Single blobs of a build cache", s => new Noun("blob", s, new BlobGet(), new BlobPut(), new BlobShow())),
        Of(Builds, "gocacheprog", "Let the go command use a build cache", _ => new GoCacheProg()),
        Of(Work, "jobs", "Work queues: enqueue, work, watch, mend", s => new JobsNoun(s)),
        Of(People, "org", "Orgs and their members", s => new Noun(
            "org", s, new OrgCreate(), new OrgList(), new OrgShow(), new OrgUse(), new OrgStage(),
            new Noun("members", "Who is in an org", new MemberList(), MemberSet.Add(), new MemberRemove(), MemberSet.ChangeRole()))),
        Of(People, "user", "People who can sign in", s => new Noun(
            "user", s, new UserCreate(), new UserList(), new UserShow(), UserSetStatus.Disable(), UserSetStatus.Enable())),
        Of(People, "service-account", "Machine principals of an org", s => new Noun(
            "service-account", s, new ServiceAccountCreate(), new ServiceAccountList(), new ServiceAccountRemove())),
        Of(People, "key", "Keys for programs: nix, CI", s => new Noun("key", s, new KeyIssue(), new KeyList(), new KeyRevoke(), new KeyScopes())),
        Of(People, "cert", "Client certificates for keys", s => new Noun("cert", s, new CertIssue())),
        Of(People, "session", "Where you are signed in", s => new Noun("session", s, new SessionList(), new SessionRevoke())),
        Of(Records, "event", "What happened in an org", s => new Noun("event", s, new EventList(), new EventTail())),
        Of(Records, "audit", "Proof that the record is whole", s => new Noun("audit", s, new AuditVerify())),
        Of(Here, "context", "Servers you know, and which one is meant", s => new Noun(
            "context", s, new ContextList(), new ContextUse(), new ContextShow(), new ContextDelete())),
        Of(Here, "config", "Check, show and explain the server's configuration", s => new ServerCommand("config", s)),
        Of(Here, "completion", "Completion script for bash, zsh or fish", _ => new PrintCompletion()),
        Of(Here, "commands", "All commands, for programs", _ => new ListCommands()),
        Of(Here, "help", "Help on a command, or on exit-codes", _ => new ShowHelp()),
        Of(Here, "version", "Version of this program", _ => new ShowVersion()),
    ];

    /// <summary>The tree for one command line: nouns that are not on it stay empty.</summary>
    public static Command Build(IReadOnlyList<string> args)
    {
        var root = new Command("slipway", "Build, cache, ship and run your software on your own machines");
        foreach (var option in CommonOptions.All)
        {
            root.Add(option);
        }

        foreach (var noun in Nouns)
        {
            root.Add(args.Contains(noun.Name, StringComparer.Ordinal) ? noun.Build() : new Command(noun.Name, noun.Summary));
        }

        return root;
    }

    public static Command BuildAll() => Build([.. Nouns.Select(noun => noun.Name)]);

    private static TopLevel Of(string group, string name, string summary, Func<string, Command> build) => new(group, name, summary, () => build(summary));
}
