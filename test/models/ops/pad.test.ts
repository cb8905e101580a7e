import { describeGradients } from '#test/support/describe-gradients.ts';
import { padCases } from './cases/pad.ts';

describeGradients('pad', padCases);
