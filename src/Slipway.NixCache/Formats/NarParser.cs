using System.Buffers;
using System.Buffers.Binary;

namespace Slipway.NixCache.Formats;

/// <summary>
/// Checks the grammar of a NAR (nix.md 2.4) while it streams through, and writes its listing. Give it the bytes in any pieces with
/// <see cref="Append"/>, then call <see cref="Complete"/>. After an exception it can't be used any more.
/// </summary>
/// <remarks>
/// <code>
///  bytes ─▶ length ─▶ text ──────▶ token ─▶ grammar state ─▶ listing
///             ▲  │                                │
///             │  └─▶ contents, passed over ─▶ padding
///             └──────────────────────────────────┘
/// </code>
/// A state machine with its own stack instead of recursion: depth costs a few bytes here, where Nix's own parser overflows its
/// stack. File contents are never looked at, only counted.
/// </remarks>
internal sealed class NarParser : IDisposable
{
    /// <summary>Ours: a path of 1,024 one-letter folders is 2,048 of the 4,096 bytes that Linux takes.</summary>
    public const int MaxDepth = 1_024;

    /// <summary>Ours: the largest real paths (texlive, big source trees) have some hundred thousand.</summary>
    public const int MaxEntries = 1_000_000;

    /// <summary>NAME_MAX of Linux: longer names can't be unpacked.</summary>
    public const int MaxNameLength = 255;

    /// <summary>PATH_MAX of Linux, less the final zero.</summary>
    public const int MaxTargetLength = 4_095;

    /// <summary>Ours: a million entries with names of usual length come to about 80 MB; beyond it are only made-up names.</summary>
    public const int MaxListingBytes = 128 << 20;

    private const int LongestKeyword = 13;

    // Longer contents can't be added up in a long; no disk holds them either.
    private const ulong LargestContents = 1UL << 62;

    private readonly NarListingWriter writer = new();
    private readonly byte[] pending = ArrayPool<byte>.Shared.Rent(MaxTargetLength + 1);
    private readonly Stack<(int Start, int Length)> folders = new();
    private byte[] names = ArrayPool<byte>.Shared.Rent(4_096);
    private int pendingLength;

    private Phase phase = Phase.Length;
    private State state = State.Magic;
    private int textLength;
    private long contentsLeft;

    // The last name seen in the innermost open folder, in names; the outer folders' are on the stack.
    private (int Start, int Length) lastName;
    private int entries;

    private bool executable;
    private long contentsSize;
    private long contentsOffset;
    private bool disposed;

    private enum Phase
    {
        Length,
        Text,
        Contents,
        ContentsPadding,
        Done,
    }

    /// <summary>What the next token may be.</summary>
    private enum State
    {
        Magic,
        NodeOpen,
        TypeKey,
        TypeValue,
        RegularPart,
        ExecutableValue,
        ContentsOrClose,
        ContentsValue,
        RegularClose,
        TargetKey,
        TargetValue,
        SymlinkClose,
        EntryOrClose,
        EntryOpen,
        NameKey,
        NameValue,
        NodeKey,
        EntryClose,
    }

    /// <summary>Bytes read so far; after <see cref="Complete"/> the NarSize.</summary>
    public long Size { get; private set; }

    /// <summary>Files, folders and links below the root.</summary>
    public int Entries => entries;

    /// <summary>The path is a single file, not executable: what a derivation or a <c>fixed:</c> (flat) path has to be.</summary>
    public bool RootIsRegularFile => RootContents is not null;

    /// <summary>Where the contents of a NAR of one plain file lie in it; null for folders, links and executables.</summary>
    public (long Offset, long Size)? RootContents { get; private set; }

    /// <summary>The <c>.ls</c> file; belongs to this parser, and goes with it.</summary>
    public NarListing Listing => phase == Phase.Done
        ? writer.Listing
        : throw new InvalidOperationException("The listing is there when the NAR is complete.");

    public void Append(ReadOnlySpan<byte> bytes)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        while (!bytes.IsEmpty)
        {
            switch (phase)
            {
                case Phase.Length:
                    if (Take(ref bytes, sizeof(ulong), out var length))
                    {
                        OnLength(BinaryPrimitives.ReadUInt64LittleEndian(length));
                    }

                    break;
                case Phase.Text:
                    if (Take(ref bytes, Padded(textLength), out var text))
                    {
                        OnPaddedText(text);
                    }

                    break;
                case Phase.Contents:
                    var count = (int)Math.Min(contentsLeft, bytes.Length);
                    bytes = bytes[count..];
                    Size += count;
                    contentsLeft -= count;
                    if (contentsLeft == 0)
                    {
                        phase = contentsSize % 8 == 0 ? Phase.Length : Phase.ContentsPadding;
                    }

                    break;
                case Phase.ContentsPadding:
                    if (Take(ref bytes, (int)(-contentsSize & 7), out var padding))
                    {
                        CheckPadding(padding);
                        phase = Phase.Length;
                    }

                    break;
                default:
                    throw Fault("There is something after the end of the archive");
            }
        }
    }

    /// <summary>To be called after the last byte.</summary>
    /// <exception cref="NarFormatException">The archive is not complete.</exception>
    public void Complete()
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        if (phase != Phase.Done)
        {
            Size += pendingLength;
            pendingLength = 0;
            throw Fault(Size == 0 ? "The archive is empty" : "The archive ends too early");
        }
    }

    public void Dispose()
    {
        if (!disposed)
        {
            disposed = true;
            writer.Dispose();
            ArrayPool<byte>.Shared.Return(pending);
            ArrayPool<byte>.Shared.Return(names);
        }
    }

    private static int Padded(int length) => (length + 7) & ~7;

    /// <summary>Gets <paramref name="count"/> bytes, from the input directly where they lie in it whole.</summary>
    private bool Take(ref ReadOnlySpan<byte> bytes, int count, out ReadOnlySpan<byte> taken)
    {
        if (pendingLength == 0 && bytes.Length >= count)
        {
            taken = bytes[..count];
            bytes = bytes[count..];
            Size += count;
            return true;
        }

        var more = Math.Min(count - pendingLength, bytes.Length);
        bytes[..more].CopyTo(pending.AsSpan(pendingLength));
        bytes = bytes[more..];
        pendingLength += more;
        if (pendingLength < count)
        {
            taken = default;
            return false;
        }

        taken = pending.AsSpan(0, count);
        pendingLength = 0;
        Size += count;
        return true;
    }

    private void OnLength(ulong length)
    {
        if (state == State.ContentsValue)
        {
            if (length > LargestContents)
            {
                throw Fault("A file is larger than any disk", sizeof(ulong));
            }

            contentsSize = contentsLeft = (long)length;
            contentsOffset = Size;
            state = State.RegularClose;
            phase = length == 0 ? Phase.Length : Phase.Contents;
            return;
        }

        var (limit, what) = state switch
        {
            State.NameValue => (MaxNameLength, "A file name"),
            State.TargetValue => (MaxTargetLength, "The target of a symbolic link"),
            _ => (LongestKeyword, Expectation()),
        };
        if (length > (ulong)limit)
        {
            throw Fault(
                limit == LongestKeyword ? $"Expected {what}, found a string of {length} bytes" : $"{what} has {length} bytes; at most {limit} are allowed",
                sizeof(ulong));
        }

        if (length == 0)
        {
            OnToken([]);
            return;
        }

        textLength = (int)length;
        phase = Phase.Text;
    }

    private void OnPaddedText(ReadOnlySpan<byte> padded)
    {
        CheckPadding(padded[textLength..]);
        phase = Phase.Length;
        OnToken(padded[..textLength]);
    }

    private void OnToken(ReadOnlySpan<byte> token)
    {
        switch (state)
        {
            case State.Magic:
                Expect(token, "nix-archive-1"u8, State.NodeOpen);
                break;
            case State.NodeOpen:
                Expect(token, "("u8, State.TypeKey);
                break;
            case State.TypeKey:
                Expect(token, "type"u8, State.TypeValue);
                break;
            case State.TypeValue:
                OnType(token);
                break;
            case State.RegularPart when token.SequenceEqual("executable"u8):
                executable = true;
                state = State.ExecutableValue;
                break;
            case State.ExecutableValue:
                Expect(token, ""u8, State.ContentsOrClose);
                break;
            case State.RegularPart or State.ContentsOrClose when token.SequenceEqual("contents"u8):
                state = State.ContentsValue;
                break;
            case State.RegularPart or State.ContentsOrClose or State.RegularClose:
                Expect(token, ")"u8, State.RegularClose);
                writer.Regular(contentsSize, executable, contentsOffset);
                if (folders.Count == 0 && !executable)
                {
                    RootContents = (contentsOffset, contentsSize);
                }

                OnNodeEnd();
                break;
            case State.TargetKey:
                Expect(token, "target"u8, State.TargetValue);
                break;
            case State.TargetValue:
                OnTarget(token);
                break;
            case State.SymlinkClose:
                Expect(token, ")"u8, State.SymlinkClose);
                OnNodeEnd();
                break;
            case State.EntryOrClose when token.SequenceEqual("entry"u8):
                OnEntry();
                break;
            case State.EntryOrClose:
                Expect(token, ")"u8, State.EntryOrClose);
                lastName = folders.Pop();
                writer.EndDirectory();
                OnNodeEnd();
                break;
            case State.EntryOpen:
                Expect(token, "("u8, State.NameKey);
                break;
            case State.NameKey:
                Expect(token, "name"u8, State.NameValue);
                break;
            case State.NameValue:
                OnName(token);
                break;
            case State.NodeKey:
                Expect(token, "node"u8, State.NodeOpen);
                break;
            case State.EntryClose:
                Expect(token, ")"u8, State.EntryOrClose);
                break;
        }
    }

    private void OnType(ReadOnlySpan<byte> type)
    {
        if (type.SequenceEqual("regular"u8))
        {
            (executable, contentsSize, contentsOffset) = (false, 0, 0);
            state = State.RegularPart;
        }
        else if (type.SequenceEqual("symlink"u8))
        {
            state = State.TargetKey;
        }
        else if (type.SequenceEqual("directory"u8))
        {
            if (folders.Count == MaxDepth)
            {
                throw Fault($"Folders are nested deeper than {MaxDepth:N0}", Consumed(type));
            }

            folders.Push(lastName);
            lastName = (lastName.Start + lastName.Length, 0);
            writer.StartDirectory();
            state = State.EntryOrClose;
        }
        else
        {
            throw Unexpected(type);
        }
    }

    private void OnTarget(ReadOnlySpan<byte> target)
    {
        if (target.IsEmpty || target.Contains((byte)0))
        {
            throw Fault("The target of a symbolic link is empty or contains a zero byte", Consumed(target));
        }

        writer.Symlink(target);
        state = State.SymlinkClose;
    }

    private void OnEntry()
    {
        if (++entries > MaxEntries)
        {
            throw Fault($"The archive has more than {MaxEntries:N0} entries", Consumed("entry"u8));
        }

        if (writer.Length > MaxListingBytes)
        {
            throw Fault($"The listing of the archive would be larger than {MaxListingBytes >> 20} MiB", Consumed("entry"u8));
        }

        state = State.EntryOpen;
    }

    private void OnName(ReadOnlySpan<byte> name)
    {
        if (name.IsEmpty || name.SequenceEqual("."u8) || name.SequenceEqual(".."u8) || name.ContainsAny((byte)'/', (byte)0))
        {
            throw Fault($"'{NameFor(name)}' can't be the name of a file", Consumed(name));
        }

        // An empty last name sorts before every name: it stands for "none yet".
        if (names.AsSpan(lastName.Start, lastName.Length).SequenceCompareTo(name) >= 0)
        {
            throw Fault($"'{NameFor(name)}' is out of order: names in a folder have to be unique and in ascending order of their bytes", Consumed(name));
        }

        var end = lastName.Start + name.Length;
        if (end > names.Length)
        {
            var larger = ArrayPool<byte>.Shared.Rent(end * 2);
            names.AsSpan(0, lastName.Start).CopyTo(larger);
            ArrayPool<byte>.Shared.Return(names);
            names = larger;
        }

        name.CopyTo(names.AsSpan(lastName.Start));
        lastName.Length = name.Length;
        writer.Name(name);
        state = State.NodeKey;
    }

    private void OnNodeEnd()
    {
        if (folders.Count > 0)
        {
            state = State.EntryClose;
            return;
        }

        writer.Complete();
        phase = Phase.Done;
    }

    private void Expect(ReadOnlySpan<byte> token, ReadOnlySpan<byte> keyword, State next)
    {
        if (!token.SequenceEqual(keyword))
        {
            throw Unexpected(token);
        }

        state = next;
    }

    private void CheckPadding(ReadOnlySpan<byte> padding)
    {
        if (padding.ContainsAnyExcept((byte)0))
        {
            throw Fault("The padding after a string is not zero", padding.Length);
        }
    }

    private string Expectation() => state switch
    {
        State.Magic => "'nix-archive-1' (is the data compressed in another way than declared?)",
        State.NodeOpen or State.EntryOpen => "'('",
        State.TypeKey => "'type'",
        State.TypeValue => "'regular', 'symlink' or 'directory'",
        State.RegularPart => "'executable', 'contents' or ')'",
        State.ExecutableValue => "an empty string",
        State.ContentsOrClose => "'contents' or ')'",
        State.TargetKey => "'target'",
        State.EntryOrClose => "'entry' or ')'",
        State.NameKey => "'name'",
        State.NodeKey => "'node'",
        _ => "')'",
    };

    private static string NameFor(ReadOnlySpan<byte> name)
    {
        // Into an error message, and from there onto somebody's terminal.
        Span<char> text = stackalloc char[Math.Min(name.Length, 100)];
        for (var i = 0; i < text.Length; i++)
        {
            text[i] = name[i] is >= 0x20 and < 0x7F ? (char)name[i] : '?';
        }

        return new string(text);
    }

    /// <summary>Bytes that a token took with its length and padding.</summary>
    private static int Consumed(ReadOnlySpan<byte> token) => sizeof(ulong) + Padded(token.Length);

    private NarFormatException Unexpected(ReadOnlySpan<byte> token) =>
        Fault($"Expected {Expectation()}, found '{NameFor(token)}'", Consumed(token));

    private NarFormatException Fault(string message, int back = 0) => new(message, Size - back);
}
