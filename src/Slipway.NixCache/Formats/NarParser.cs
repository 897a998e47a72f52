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

    private readonly NarListingWriter _writer = new();
    private readonly byte[] _pending = ArrayPool<byte>.Shared.Rent(MaxTargetLength + 1);
    private readonly Stack<(int Start, int Length)> _folders = new();
    private byte[] _names = ArrayPool<byte>.Shared.Rent(4_096);
    private int _pendingLength;

    private Phase _phase = Phase.Length;
    private State _state = State.Magic;
    private int _textLength;
    private long _contentsLeft;

    // The last name seen in the innermost open folder, in _names; the outer folders' are on the stack.
    private (int Start, int Length) _lastName;
    private int _entries;

    private bool _executable;
    private long _contentsSize;
    private long _contentsOffset;
    private bool _disposed;

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
    public int Entries => _entries;

    /// <summary>The path is a single file, not executable: what a derivation or a <c>fixed:</c> (flat) path has to be.</summary>
    public bool RootIsRegularFile => RootContents is not null;

    /// <summary>Where the contents of a NAR of one plain file lie in it; null for folders, links and executables.</summary>
    public (long Offset, long Size)? RootContents { get; private set; }

    /// <summary>The <c>.ls</c> file; belongs to this parser, and goes with it.</summary>
    public NarListing Listing => _phase == Phase.Done
        ? _writer.Listing
        : throw new InvalidOperationException("The listing is there when the NAR is complete.");

    public void Append(ReadOnlySpan<byte> bytes)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        while (!bytes.IsEmpty)
        {
            switch (_phase)
            {
                case Phase.Length:
                    if (Take(ref bytes, sizeof(ulong), out var length))
                    {
                        OnLength(BinaryPrimitives.ReadUInt64LittleEndian(length));
                    }

                    break;
                case Phase.Text:
                    if (Take(ref bytes, Padded(_textLength), out var text))
                    {
                        OnPaddedText(text);
                    }

                    break;
                case Phase.Contents:
                    var count = (int)Math.Min(_contentsLeft, bytes.Length);
                    bytes = bytes[count..];
                    Size += count;
                    _contentsLeft -= count;
                    if (_contentsLeft == 0)
                    {
                        _phase = _contentsSize % 8 == 0 ? Phase.Length : Phase.ContentsPadding;
                    }

                    break;
                case Phase.ContentsPadding:
                    if (Take(ref bytes, (int)(-_contentsSize & 7), out var padding))
                    {
                        CheckPadding(padding);
                        _phase = Phase.Length;
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
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (_phase != Phase.Done)
        {
            Size += _pendingLength;
            _pendingLength = 0;
            throw Fault(Size == 0 ? "The archive is empty" : "The archive ends too early");
        }
    }

    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            _writer.Dispose();
            ArrayPool<byte>.Shared.Return(_pending);
            ArrayPool<byte>.Shared.Return(_names);
        }
    }

    private static int Padded(int length) => (length + 7) & ~7;

    /// <summary>Gets <paramref name="count"/> bytes, from the input directly where they lie in it whole.</summary>
    private bool Take(ref ReadOnlySpan<byte> bytes, int count, out ReadOnlySpan<byte> taken)
    {
        if (_pendingLength == 0 && bytes.Length >= count)
        {
            taken = bytes[..count];
            bytes = bytes[count..];
            Size += count;
            return true;
        }

        var more = Math.Min(count - _pendingLength, bytes.Length);
        bytes[..more].CopyTo(_pending.AsSpan(_pendingLength));
        bytes = bytes[more..];
        _pendingLength += more;
        if (_pendingLength < count)
        {
            taken = default;
            return false;
        }

        taken = _pending.AsSpan(0, count);
        _pendingLength = 0;
        Size += count;
        return true;
    }

    private void OnLength(ulong length)
    {
        if (_state == State.ContentsValue)
        {
            if (length > LargestContents)
            {
                throw Fault("A file is larger than any disk", sizeof(ulong));
            }

            _contentsSize = _contentsLeft = (long)length;
            _contentsOffset = Size;
            _state = State.RegularClose;
            _phase = length == 0 ? Phase.Length : Phase.Contents;
            return;
        }

        var (limit, what) = _state switch
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

        _textLength = (int)length;
        _phase = Phase.Text;
    }

    private void OnPaddedText(ReadOnlySpan<byte> padded)
    {
        CheckPadding(padded[_textLength..]);
        _phase = Phase.Length;
        OnToken(padded[.._textLength]);
    }

    private void OnToken(ReadOnlySpan<byte> token)
    {
        switch (_state)
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
                _executable = true;
                _state = State.ExecutableValue;
                break;
            case State.ExecutableValue:
                Expect(token, ""u8, State.ContentsOrClose);
                break;
            case State.RegularPart or State.ContentsOrClose when token.SequenceEqual("contents"u8):
                _state = State.ContentsValue;
                break;
            case State.RegularPart or State.ContentsOrClose or State.RegularClose:
                Expect(token, ")"u8, State.RegularClose);
                _writer.Regular(_contentsSize, _executable, _contentsOffset);
                if (_folders.Count == 0 && !_executable)
                {
                    RootContents = (_contentsOffset, _contentsSize);
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
                _lastName = _folders.Pop();
                _writer.EndDirectory();
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
            (_executable, _contentsSize, _contentsOffset) = (false, 0, 0);
            _state = State.RegularPart;
        }
        else if (type.SequenceEqual("symlink"u8))
        {
            _state = State.TargetKey;
        }
        else if (type.SequenceEqual("directory"u8))
        {
            if (_folders.Count == MaxDepth)
            {
                throw Fault($"Folders are nested deeper than {MaxDepth:N0}", Consumed(type));
            }

            _folders.Push(_lastName);
            _lastName = (_lastName.Start + _lastName.Length, 0);
            _writer.StartDirectory();
            _state = State.EntryOrClose;
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

        _writer.Symlink(target);
        _state = State.SymlinkClose;
    }

    private void OnEntry()
    {
        if (++_entries > MaxEntries)
        {
            throw Fault($"The archive has more than {MaxEntries:N0} entries", Consumed("entry"u8));
        }

        if (_writer.Length > MaxListingBytes)
        {
            throw Fault($"The listing of the archive would be larger than {MaxListingBytes >> 20} MiB", Consumed("entry"u8));
        }

        _state = State.EntryOpen;
    }

    private void OnName(ReadOnlySpan<byte> name)
    {
        if (name.IsEmpty || name.SequenceEqual("."u8) || name.SequenceEqual(".."u8) || name.ContainsAny((byte)'/', (byte)0))
        {
            throw Fault($"'{NameFor(name)}' can't be the name of a file", Consumed(name));
        }

        // An empty last name sorts before every name: it stands for "none yet".
        if (_names.AsSpan(_lastName.Start, _lastName.Length).SequenceCompareTo(name) >= 0)
        {
            throw Fault($"'{NameFor(name)}' is out of order: names in a folder have to be unique and in ascending order of their bytes", Consumed(name));
        }

        var end = _lastName.Start + name.Length;
        if (end > _names.Length)
        {
            var larger = ArrayPool<byte>.Shared.Rent(end * 2);
            _names.AsSpan(0, _lastName.Start).CopyTo(larger);
            ArrayPool<byte>.Shared.Return(_names);
            _names = larger;
        }

        name.CopyTo(_names.AsSpan(_lastName.Start));
        _lastName.Length = name.Length;
        _writer.Name(name);
        _state = State.NodeKey;
    }

    private void OnNodeEnd()
    {
        if (_folders.Count > 0)
        {
            _state = State.EntryClose;
            return;
        }

        _writer.Complete();
        _phase = Phase.Done;
    }

    private void Expect(ReadOnlySpan<byte> token, ReadOnlySpan<byte> keyword, State next)
    {
        if (!token.SequenceEqual(keyword))
        {
            throw Unexpected(token);
        }

        _state = next;
    }

    private void CheckPadding(ReadOnlySpan<byte> padding)
    {
        if (padding.ContainsAnyExcept((byte)0))
        {
            throw Fault("The padding after a string is not zero", padding.Length);
        }
    }

    private string Expectation() => _state switch
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
