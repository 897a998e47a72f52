using NodaTime;

namespace Slipway.Queue.Work;

/// <summary>
/// When a schedule fires: <c>minute hour day-of-month month day-of-week</c>, with an optional field of seconds before them, or
/// <c>@yearly</c>, <c>@monthly</c>, <c>@weekly</c>, <c>@daily</c>, <c>@hourly</c>. Where both days are restricted, either will do, as ever.
/// </summary>
/// <remarks>
/// When clocks change: of a schedule with given hours, a local time that is skipped fires once, at the end of the gap, and one that
/// comes twice fires the first time only. A schedule for every hour (<c>*</c>) goes by the passing of time instead: through both of the doubled
/// hours, and with nothing to make up for a skipped one.
/// </remarks>
public sealed class CronExpression
{
    /// <summary>29 February on a given weekday comes back within 28 years, with 2100 in between within 40.</summary>
    private const int MaxYears = 41;

    private readonly CronField second;
    private readonly CronField minute;
    private readonly CronField hour;
    private readonly CronField dayOfMonth;
    private readonly CronField month;
    private readonly CronField dayOfWeek;
    private readonly DateTimeZone zone;

    private CronExpression(string[] fields, DateTimeZone zone)
    {
        int first = fields.Length - 5;
        second = CronField.Second(first == 1 ? fields[0] : "0");
        minute = CronField.Minute(fields[first]);
        hour = CronField.Hour(fields[first + 1]);
        dayOfMonth = CronField.DayOfMonth(fields[first + 2]);
        month = CronField.Month(fields[first + 3]);
        dayOfWeek = CronField.DayOfWeek(fields[first + 4]);
        this.zone = zone;
    }

    private bool IsEveryHour => hour.Bits == 0xFFFFFF;

    /// <param name="timeZone">Of the IANA database: <c>Europe/Berlin</c>. Null: UTC.</param>
    /// <exception cref="FormatException">What is wrong with it.</exception>
    public static CronExpression Parse(string text, string? timeZone)
    {
        DateTimeZone zone = timeZone is null
            ? DateTimeZone.Utc
            : DateTimeZoneProviders.Tzdb.GetZoneOrNull(timeZone)
                ?? throw new FormatException($"There is no time zone \"{timeZone}\"; write a name of the IANA database, like Europe/Berlin.");
        string spelled = text.Trim() switch
        {
            "@yearly" or "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" or "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            var other => other,
        };
        string[] fields = spelled.Split(' ', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        if (fields.Length is not (5 or 6))
        {
            throw new FormatException(
                $"\"{text}\" is no cron expression: five fields (minute hour day-of-month month day-of-week), or six with seconds first, or @yearly, @monthly, @weekly, @daily, @hourly.");
        }

        var expression = new CronExpression(fields, zone);
        return expression.Next(NodaConstants.UnixEpoch) is null
            ? throw new FormatException($"\"{text}\" never fires: there is no such day.")
            : expression;
    }

    /// <summary>The first slot after a moment; null: none for decades.</summary>
    public DateTimeOffset? NextAfter(DateTimeOffset moment) => Next(Instant.FromDateTimeOffset(moment))?.ToDateTimeOffset();

    private Instant? Next(Instant after) => IsEveryHour ? NextByTime(after) : NextByClock(after);

    private Instant? NextByClock(Instant after)
    {
        LocalDateTime? candidate = Match(after.InZone(zone).LocalDateTime);
        for (; candidate is { } found; candidate = Match(found))
        {
            NodaTime.TimeZones.ZoneLocalMapping mapping = zone.MapLocal(found);
            Instant slot = mapping.Count == 0 ? mapping.LateInterval.Start : mapping.First().ToInstant();
            if (slot > after)
            {
                return slot;
            }
        }

        return null;
    }

    private Instant? NextByTime(Instant after)
    {
        Instant from = after;
        for (int intervals = 0; intervals < MaxYears * 2; intervals++)
        {
            NodaTime.TimeZones.ZoneInterval interval = zone.GetZoneInterval(from);
            LocalDateTime local = from.WithOffset(interval.WallOffset).LocalDateTime;
            if (Match(local) is not { } found)
            {
                return null;
            }

            Instant slot = found.WithOffset(interval.WallOffset).ToInstant();
            if (!interval.HasEnd || slot < interval.End)
            {
                return slot;
            }

            // Whatever is first under the next offset, its very first second included.
            from = interval.End - NodaTime.Duration.FromSeconds(1);
            interval = zone.GetZoneInterval(interval.End);
            LocalDateTime? first = Match(from.WithOffset(interval.WallOffset).LocalDateTime);
            if (first is null)
            {
                return null;
            }

            slot = first.Value.WithOffset(interval.WallOffset).ToInstant();
            if (!interval.HasEnd || slot < interval.End)
            {
                return slot;
            }

            from = interval.End - NodaTime.Duration.FromSeconds(1);
        }

        return null;
    }

    /// <summary>The first local time after the given one that fits all fields; null: none for decades.</summary>
    private LocalDateTime? Match(LocalDateTime after)
    {
        LocalDateTime from = after.PlusSeconds(1);
        from = from.Date + new LocalTime(from.Hour, from.Minute, from.Second);
        int lastYear = from.Year + MaxYears;
        LocalDate day = from.Date;
        LocalTime time = from.TimeOfDay;
        while (day.Year <= lastYear)
        {
            if (!month.Has(day.Month))
            {
                day = new LocalDate(day.Year, day.Month, 1).PlusMonths(1);
            }
            else if (!DayFits(day) || TimeFrom(time) is not { } found)
            {
                day = day.PlusDays(1);
            }
            else
            {
                return day + found;
            }

            time = LocalTime.Midnight;
        }

        return null;
    }

    private bool DayFits(LocalDate day)
    {
        bool byMonth = dayOfMonth.Has(day.Day);
        bool byWeek = dayOfWeek.Has((int)day.DayOfWeek % 7);
        return dayOfMonth.IsAny || dayOfWeek.IsAny ? byMonth && byWeek : byMonth || byWeek;
    }

    private LocalTime? TimeFrom(LocalTime from)
    {
        (int h, int m, int s) = (from.Hour, from.Minute, from.Second);
        s = second.NextFrom(s);
        if (s < 0)
        {
            (m, s) = (m + 1, second.NextFrom(0));
        }

        int fittingMinute = minute.NextFrom(m);
        if (fittingMinute != m)
        {
            s = second.NextFrom(0);
        }

        if (fittingMinute < 0)
        {
            (h, fittingMinute) = (h + 1, minute.NextFrom(0));
        }

        int fittingHour = hour.NextFrom(h);
        return fittingHour < 0 || fittingHour > 23
            ? null
            : fittingHour == h ? new LocalTime(h, fittingMinute, s) : new LocalTime(fittingHour, minute.NextFrom(0), second.NextFrom(0));
    }
}
