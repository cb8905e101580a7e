import { describeGradients } from '#test/support/describe-gradients.ts';
import { normalizationCases } from './cases/normalization.ts';

describeGradients('normalization', normalizationCases);
